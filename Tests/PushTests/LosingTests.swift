import GitProtocol
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Push
@testable import Repository

/// Success is said only of what is published, loss only of what is not and never will be.
@Suite struct LosingTests {
    private static let pointer: @Sendable (ObjectKey) -> Bool = { $0.path.hasSuffix("/pointer") }

    /// Whether the published state has this push's effect.
    private func shows(_ push: PushRequest, _ bench: Bench) throws -> Bool {
        let refs = try bench.published().manifest.refs
        return push.commands.allSatisfy { command in
            refs.first { $0.key.description == command.name }?.value.hex == command.new
        }
    }

    @Test func secondOfTwoPushesLoses() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let parent = try bench.published()
        let first = try bench.onePush()
        let second = try bench.onePush()
        #expect(try bench.push(first, on: parent).isPublished)
        let winner = try bench.published().digest
        guard case .lost(let report) = try bench.push(second, on: parent) else {
            Issue.record("it did not lose")
            return
        }
        #expect(report.accepted.isEmpty)
        #expect(report.rejected.map(\.rawName) == [Array("refs/heads/main".utf8)])
        #expect(try bench.published().digest == winner)
        #expect(try bench.push(bench.onePush()).isPublished, "after a fetch it goes through")
        _ = try bench.check()
    }

    @Test func oneOfEightPushesWins() throws {
        let bench = try Bench()
        let parent = try bench.published()
        let pushes = try (0..<8).map { _ in try bench.onePush() }
        let endings = try concurrently(8) { try bench.push(pushes[$0], on: parent) }
        #expect(endings.count { $0.isPublished } == 1)
        let winner = try #require(endings.firstIndex { $0.isPublished })
        #expect(try shows(pushes[winner], bench))
        #expect(endings[winner].digest == (try bench.published().digest))
        #expect(try bench.published().manifest.parent == parent.digest)
    }

    @Test func identicalPushesAreBothPublished() throws {
        let bench = try Bench()
        let parent = try bench.published()
        let push = try bench.onePush()
        let one = try bench.push(push, on: parent)
        let two = try bench.push(push, on: parent)
        #expect(one.isPublished && one == two)
        #expect(try shows(push, bench))
    }

    @Test(arguments: [
        [Fault.dropReply], [.resend], [.failAfterApplying], [.dropRequest], [.conflict],
        [.unavailable], [.late(requests: 0)], [.late(requests: 1)], [.late(requests: 2)],
        [.dropRequest, .resend], [.conflict, .dropReply], [.late(requests: 1), .dropRequest],
    ])
    func doubtfulAnswerIsNeverAFalseLoss(faults: [Fault]) throws {
        let bench = try Bench { memory in
            FaultyStore(
                wrapping: memory,
                faults.map { FaultRule($0, keys: Self.pointer, limit: 1) })
        }
        let push = try bench.onePush()
        #expect(try bench.push(push).isPublished)
        #expect(try shows(push, bench))
        _ = try bench.check()
    }

    @Test(arguments: [
        Fault.dropReply, .dropRequest, .late(requests: 1000),
    ])
    func unknownOutcomeIsNotALoss(fault: Fault) throws {
        let bench = try Bench { memory in
            FaultyStore(
                wrapping: memory,
                [
                    FaultRule(fault, keys: Self.pointer, limit: 1),
                    FaultRule(.dropRequest, on: [.get], keys: Self.pointer),
                ])
        }
        let push = try bench.onePush()
        let snapshot = try bench.published()
        #expect {
            _ = try bench.push(push, on: snapshot)
        } throws: { error in
            if case StoreError.undetermined = error { true } else { false }
        }
    }

    @Test(arguments: 0...4)
    func lateSwapIsReportedAsTheStateSays(requests: Int) throws {
        let bench = try Bench()
        let parent = try bench.published()
        let slow = try bench.onePush()
        let fast = try bench.onePush()
        let faulty = FaultyStore(
            wrapping: bench.memory,
            [FaultRule(.late(requests: requests), keys: Self.pointer, limit: 1)])
        let reception = try bench.receive(slow, on: parent)
        #expect(try bench.push(fast, on: parent, to: bench.memory).isPublished)
        let ending = try bench.settle(reception, to: faulty)
        faulty.landLate()
        guard case .lost = ending else {
            Issue.record("\(ending)")
            return
        }
        #expect(try shows(fast, bench) && !shows(slow, bench))
    }

    @Test func winThatOthersBuiltUponIsAWin() throws {
        let bench = try Bench()
        let push = try bench.onePush()
        let others = 3
        let faulty = FaultyStore(
            wrapping: bench.memory,
            [
                FaultRule(.dropReply, keys: Self.pointer, limit: 1),
                FaultRule(
                    .interleave { _ in
                        do {
                            for number in 0..<others {
                                try bench.push(bench.onePush(to: "refs/heads/b\(number)"))
                            }
                        } catch {
                            Issue.record(error)
                        }
                    }, on: [.get], keys: Self.pointer, limit: 1),
            ])
        #expect(try bench.push(push, to: faulty).isPublished)
        #expect(try shows(push, bench))
        #expect(try bench.published().manifest.refs.count == 1 + others)
    }

    @Test(arguments: [
        "packs/", ".idx", "manifests/",
    ])
    func failingStorePublishesNothing(part: String) throws {
        for fault in [Fault.denied, .unavailable, .dropRequest, .dropReply, .conflict] {
            let bench = try Bench()
            let before = try bench.published().digest
            let faulty = FaultyStore(
                wrapping: bench.memory,
                [FaultRule(fault, keys: { $0.path.contains(part) })])
            #expect(throws: StoreError.self, "\(fault)") {
                _ = try bench.push(bench.onePush(), to: faulty)
            }
            #expect(try bench.published().digest == before)
            #expect(try bench.leftovers().isEmpty)
        }
    }

    @Test func refusedSwapIsNoLoss() throws {
        let bench = try Bench()
        let before = try bench.published().digest
        let faulty = FaultyStore(wrapping: bench.memory, [FaultRule(.denied, keys: Self.pointer)])
        #expect {
            _ = try bench.push(bench.onePush(), to: faulty)
        } throws: { error in
            if case StoreError.denied = error { true } else { false }
        }
        #expect(try bench.published().digest == before)
    }

    @Test func foreignObjectUnderOurDigestIsFound() throws {
        let bench = try Bench()
        let before = try bench.published().digest
        let push = try bench.onePush()
        let other = try Bench()
        #expect(try other.push(push).isPublished)
        let pack = try #require(try other.published().manifest.packs.first)
        bench.memory.plant([1, 2, 3], at: .pack(pack))
        #expect {
            _ = try bench.push(push)
        } throws: { error in
            if case StoreError.corrupt = error { true } else { false }
        }
        #expect(try bench.published().digest == before)
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func randomFaultsNeverFakeASuccessOrALoss(seed: UInt64) throws {
        let bench = try Bench()
        let faults: [Fault] = [
            .dropReply, .dropRequest, .late(requests: 2), .resend, .unavailable, .failAfterApplying,
            .conflict,
        ]
        let faulty = FaultyStore(
            wrapping: bench.memory, seed: seed,
            faults.map { FaultRule($0, on: [.put, .get], probability: 0.08) })
        for _ in 0..<6 {
            let push = try bench.onePush()
            let snapshot = try bench.published()
            do {
                switch try bench.settle(try bench.receive(push, on: snapshot), to: faulty) {
                case .published: #expect(try shows(push, bench), "\(faulty.story)")
                case .lost:
                    faulty.landLate()
                    #expect(try !shows(push, bench), "\(faulty.story)")
                case .unchanged, .refused: Issue.record("not received: \(faulty.story)")
                }
            } catch let error as StoreError {
                faulty.landLate()
                if try shows(push, bench) {
                    #expect(error.leavesWriteUnknown, "\(error); \(faulty.story)")
                }
            }
            faulty.landLate()
        }
        _ = try bench.check()
    }
}
