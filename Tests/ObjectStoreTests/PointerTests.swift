import Bytes
import ObjectStore
import Synchronization
import TestSupport
import Testing

/// Every row of the table of results of a pointer write.
@Suite struct PointerTests {
    let memory = MemoryStore()
    let name: RepositoryName
    let old = Digest(of: [0])
    let ours = Digest(of: [1])
    let theirs = Digest(of: [2])
    let start: ETag

    init() throws {
        name = try #require(RepositoryName("acme/site"))
        guard
            case .won(let etag?) = try memory.advancePointer(
                of: name, expecting: nil, to: old, lineage: { _ in .excludesOurs })
        else { throw StoreError.misconfigured("the first advance was not won") }
        start = etag
        memory.resetCounts()
    }

    var key: ObjectKey { .pointer(of: name) }

    enum Outcome: Equatable {
        case won, wonEarlier
        case lost(Digest)
        case undetermined, denied, nonConforming
        case other(String)
    }

    func faulty(_ rules: FaultRule...) -> FaultyStore {
        FaultyStore(wrapping: memory, rules)
    }

    func advance(
        _ store: any ObjectStore, expecting: ETag?, _ lineage: (Digest) -> Lineage
    ) -> Outcome {
        do {
            switch try store.advancePointer(
                of: name, expecting: expecting, to: ours, lineage: lineage)
            {
            case .won(let etag): return etag == nil ? .wonEarlier : .won
            case .lost(let winner): return .lost(winner.digest)
            }
        } catch .undetermined {
            return .undetermined
        } catch .denied {
            return .denied
        } catch .nonConforming {
            return .nonConforming
        } catch {
            return .other("\(error)")
        }
    }

    func advance(_ store: any ObjectStore, _ lineage: Lineage = .excludesOurs) -> Outcome {
        advance(store, expecting: start) { _ in lineage }
    }

    /// Another writer's swap, whatever the current pointer is.
    func move(to digest: Digest) -> FaultRule {
        let key = key
        return FaultRule(
            .interleave { store in
                _ = store.perform([.put(.bytes(digest.bytes), at: key, .always)])
            }, limit: 1)
    }

    var pointer: Digest? { memory.bytes(at: key).flatMap { Digest(hex: $0) } }

    @Test func aSwapIsWonWithOnePut() {
        #expect(advance(memory) == .won)
        #expect(memory.counts == .init(puts: 1))
        #expect(pointer == ours)
    }

    @Test func aSuccessWithoutTokenIsUndetermined() {
        #expect(advance(faulty(FaultRule(.dropETag))) == .undetermined)
        #expect(pointer == ours)
    }

    // P9
    @Test(arguments: [
        Fault.dropReply, .failAfterApplying, .resend, .resendRefused(403), .resendRefused(400),
    ])
    func aLostAnswerIsFoundToBeAWin(_ fault: Fault) {
        #expect(advance(faulty(FaultRule(fault))) == .won)
        #expect(pointer == ours)
        #expect(memory.counts.gets == 1)
    }

    @Test(arguments: [Fault.dropRequest, .unavailable, .conflict])
    func anUnchangedPointerIsSwappedAgain(_ fault: Fault) {
        #expect(advance(faulty(FaultRule(fault, limit: 2))) == .won)
        #expect(pointer == ours)
    }

    @Test(arguments: [Fault.dropRequest, .unavailable, .conflict])
    func repetitionIsBoundedAndThenUndetermined(_ fault: Fault) {
        let store = faulty(FaultRule(fault))
        #expect(advance(store) == .undetermined)
        #expect(store.faultCount == memory.retryPolicy.attempts)
        #expect(pointer == old)
    }

    @Test func aTokenThatIsAlwaysRefusedIsUndetermined() {
        // 412, though the pointer is unchanged: the 412 may be a second copy's.
        #expect(advance(faulty(FaultRule(.refuseQuotes))) == .undetermined)
        #expect(pointer == old)
    }

    @Test func anotherWriterWins() {
        #expect(advance(faulty(move(to: theirs))) == .lost(theirs))
        #expect(pointer == theirs)
        #expect(memory.counts.gets == 1)
    }

    @Test func aLostAnswerWithAnotherWriterAfterIsAnEarlierWin() {
        let key = key
        let theirs = theirs
        let moved = FaultRule(
            .interleave { store in
                _ = store.perform([.put(.bytes(theirs.bytes), at: key, .always)])
            }, on: [.get], limit: 1)
        let store = faulty(FaultRule(.dropReply, limit: 1), moved)
        let seen = Mutex<[Digest]>([])
        let outcome = advance(store, expecting: start) { digest in
            seen.withLock { $0.append(digest) }
            return .includesOurs
        }
        #expect(outcome == .wonEarlier)
        #expect(seen.withLock { $0 } == [theirs])
    }

    @Test func aWalkThatCannotEndIsUndetermined() {
        let store = faulty(move(to: theirs))
        #expect(advance(store, .unknown(reason: "too far")) == .undetermined)
    }

    @Test func vanishedPointerIsUndetermined() {
        let key = key
        let remove = FaultRule(
            .interleave { store in _ = store.perform([.delete(key)]) }, limit: 1)
        #expect(advance(faulty(remove)) == .undetermined)
        #expect(pointer == nil)
    }

    @Test func aDenialAtFirstIsADenial() {
        #expect(advance(faulty(FaultRule(.denied))) == .denied)
        #expect(pointer == old)
        #expect(memory.counts == .init())
    }

    @Test(arguments: [Fault.dropRequest, .unavailable, .conflict, .refuseQuotes])
    func aDenialAfterDoubtIsUndetermined(_ doubt: Fault) {
        let store = faulty(FaultRule(doubt, limit: 1), FaultRule(.denied))
        #expect(advance(store) == .undetermined)
    }

    // P9
    @Test(arguments: [0, 1])
    func aDenialAfterDoubtMayHideAWin(_ requests: Int) {
        let late = FaultRule(.late(requests: requests + 1), limit: 1)
        let store = faulty(late, FaultRule(.denied, on: [.put]))
        #expect(advance(store) == .won, "\(store.story)")
        #expect(pointer == ours)
    }

    // P9
    @Test func aDenialOfASecondCopyIsALossWhereAnotherWon() {
        memory.plant(Array(theirs.bytes), at: key)
        #expect(advance(faulty(FaultRule(.resendRefused(403)))) == .lost(theirs))
    }

    @Test(arguments: [Fault.dropReply, .conflict, .resend, .resendRefused(403)])
    func aLookThatFailsLeavesItUndetermined(_ doubt: Fault) {
        let store = faulty(FaultRule(doubt), FaultRule(.unavailable, on: [.get]))
        #expect(advance(store) == .undetermined)
        let denied = faulty(FaultRule(doubt), FaultRule(.denied, on: [.get]))
        #expect(advance(denied) == .undetermined)
    }

    @Test func aLookAtADamagedPointerLeavesItUndetermined() {
        let store = faulty(FaultRule(.dropReply), FaultRule(.flipByte, on: [.get]))
        let outcome = advance(store)
        // The flipped digit may still be a digit: then the pointer is another writer's.
        #expect(outcome == .undetermined || outcome.isLost)
        memory.plant(Array("not a digest".utf8), at: key)
        #expect(advance(memory) == .undetermined)
    }

    @Test(arguments: 0..<8)
    func aLateWriteIsNeverTakenForALoss(_ requests: Int) {
        let store = faulty(FaultRule(.late(requests: requests), limit: 1))
        let outcome = advance(store)
        store.landLate()
        #expect(outcome == .won, "\(store.story)")
        #expect(pointer == ours)
    }

    @Test func aWriteThatLandsAfterTheLastLookIsUndetermined() {
        let store = faulty(FaultRule(.late(requests: 100)))
        #expect(advance(store) == .undetermined)
        store.landLate()
        #expect(pointer == ours)
    }

    @Test func aLateWriteCannotUndoAnotherWriter() {
        let store = faulty(
            FaultRule(.late(requests: 100), limit: 1),
            FaultRule(
                .interleave { [key, theirs] store in
                    _ = store.perform([.put(.bytes(theirs.bytes), at: key, .always)])
                }, on: [.get], limit: 1))
        #expect(advance(store) == .lost(theirs))
        store.landLate()
        #expect(pointer == theirs)
    }

    @Test func twoWritersOfOneStateBothWin() {
        #expect(advance(faulty(move(to: ours))) == .won)
        #expect(pointer == ours)
    }

    // The first pointer of a repository.

    @Test func aFirstPointerIsWonLostAndFoundAgain() throws {
        memory.plant(nil, at: key)
        #expect(advance(faulty(FaultRule(.resend)), expecting: nil) { _ in .excludesOurs } == .won)
        memory.plant(Array(theirs.bytes), at: key)
        #expect(advance(memory, expecting: nil) { _ in .excludesOurs } == .lost(theirs))
        memory.plant(nil, at: key)
        let store = faulty(FaultRule(.dropRequest, limit: 2))
        #expect(advance(store, expecting: nil) { _ in .excludesOurs } == .won)
    }

    @Test func vanishedFirstPointerIsUndetermined() {
        let key = key
        let remove = FaultRule(
            .interleave { store in _ = store.perform([.delete(key)]) }, on: [.get], limit: 1)
        let outcome = advance(faulty(remove), expecting: nil) { _ in .excludesOurs }
        #expect(outcome == .undetermined)
    }

    @Test func readingThePointerTakesOneGet() throws {
        let value = try #require(try memory.readPointer(of: name))
        #expect(value == PointerValue(digest: old, etag: start))
        #expect(memory.counts == .init(gets: 1))
    }

    @Test(arguments: [
        "", "abc", String(repeating: "A", count: 64), String(repeating: "a", count: 65),
        String(repeating: "a", count: 64) + "\n",
    ])
    func invalidPointerIsCorrupt(_ body: String) {
        memory.plant(Array(body.utf8), at: key)
        #expect { try memory.readPointer(of: name) } throws: { error in
            if case StoreError.corrupt = error { true } else { false }
        }
    }

    @Test func aPointerWithoutTokenIsNonConforming() {
        let store = faulty(FaultRule(.dropETag, on: [.get]))
        #expect { try store.readPointer(of: name) } throws: { error in
            if case StoreError.nonConforming = error { true } else { false }
        }
    }

    /// Random faults on both sides of two writers: a writer that won has its state published, and
    /// one that lost has not.
    @Test(arguments: 0..<200)
    func reportedPushesArePublished(_ seed: Int) throws {
        let faults: [Fault] = [
            .dropReply, .dropRequest, .late(requests: 2), .late(requests: 5), .resend, .unavailable,
            .failAfterApplying, .conflict,
        ]
        let rules =
            faults.map { FaultRule($0, probability: 0.08) }
            + [FaultRule(.unavailable, on: [.get], probability: 0.2)]
        let store = FaultyStore(wrapping: memory, seed: UInt64(seed), rules)
        // A chain: the parent of each state is the state that its writer read.
        let parents = Mutex<[Digest: Digest]>([:])
        let told = Mutex<[(digest: Digest, won: Bool)]>([])
        func isAncestor(_ digest: Digest, of tip: Digest) -> Bool {
            var at: Digest? = tip
            while let here = at {
                if here == digest { return true }
                at = parents.withLock { $0[here] }
            }
            return false
        }
        _ = try concurrently(3) { writer in
            for step in 0..<6 {
                guard let seen = try? store.readPointer(of: name) else { continue }
                let next = Digest(of: Array("\(seed) \(writer) \(step)".utf8))
                parents.withLock { $0[next] = seen.digest }
                do {
                    switch try store.advancePointer(
                        of: name, expecting: seen.etag, to: next,
                        lineage: { isAncestor(next, of: $0) ? .includesOurs : .excludesOurs })
                    {
                    case .won: told.withLock { $0.append((next, true)) }
                    case .lost: told.withLock { $0.append((next, false)) }
                    }
                } catch {
                    let error = try #require(error as? StoreError)
                    #expect(error.leavesWriteUnknown, "\(error)")
                }
            }
        }
        store.landLate()
        let tip = try #require(pointer)
        for (digest, won) in told.withLock({ $0 }) {
            #expect(isAncestor(digest, of: tip) == won, "\(store.story)")
        }
    }
}

extension PointerTests.Outcome {
    fileprivate var isLost: Bool {
        if case .lost = self { true } else { false }
    }
}
