import GitProtocol
import ObjectStore
import Posix
import Synchronization
import TestBench
import TestSupport
import Testing

@testable import Hydration
@testable import Maintenance
@testable import Repository

/// A compaction publishes by the same swap as a push, gives way to it, and undoes nothing of it.
@Suite(.tags(.race)) struct CompactionRaceTests {
    private static let pointer: @Sendable (ObjectKey) -> Bool = { $0.path.hasSuffix("/pointer") }

    /// A bench whose store runs something before swaps.
    private struct Interleaving {
        let bench: Bench
        private let first = First()

        private final class First: Sendable {
            let body = Mutex<(@Sendable () -> Void)?>(nil)
        }

        /// - Parameters:
        ///   - times: swaps that something comes before.
        ///   - packs: what the repository has.
        init(times: Int = 1, packs: Int = 4) throws {
            let first = first
            bench = try Bench { memory in
                let rule = FaultRule(
                    .interleave { _ in first.body.withLock { $0 }?() },
                    keys: CompactionRaceTests.pointer, limit: times)
                return FaultyStore(wrapping: memory, [rule])
            }
            for _ in 0..<packs { try bench.push(bench.onePush(), to: bench.memory) }
        }

        /// Says what is done before a swap, past the faulty store.
        func before(_ body: @escaping @Sendable (Bench) throws -> Void) {
            first.body.withLock {
                $0 = { [bench] in
                    do {
                        try body(bench)
                    } catch {
                        Issue.record(error)
                    }
                }
            }
        }
    }

    @Test func pushThatWinsStaysAndCompactionIsAppliedOnTop() throws {
        let race = try Interleaving()
        let bench = race.bench
        let pushed = Mutex<String?>(nil)
        race.before { bench in
            let push = try bench.onePush()
            let ending = try bench.push(push, to: bench.memory)
            #expect(ending.isPublished)
            pushed.withLock { $0 = push.commands[0].new }
        }
        let before = try bench.published()
        let objects = try bench.objects()
        guard case .compacted(let result) = try bench.compact() else {
            Issue.record("not compacted")
            return
        }
        #expect(result.packsBefore == 5 && result.packsAfter == 2)
        let after = try bench.published()
        #expect(after.manifest.refs.first?.value.hex == pushed.withLock { $0 })
        #expect(after.manifest.parent != before.digest)
        #expect(try bench.objects().isSuperset(of: objects))
        #expect(try bench.objects().count == objects.count + 3)
        _ = try bench.check()
        #expect(try bench.leftovers().isEmpty)
    }

    @Test func compactionGivesUpWhenPushesKeepWinning() throws {
        let race = try Interleaving(times: 100)
        race.before { bench in
            let ending = try bench.push(bench.onePush(), to: bench.memory)
            #expect(ending.isPublished)
        }
        #expect(try race.bench.compact() == .gaveWay)
        #expect(try race.bench.published().manifest.packs.count > 5)
        _ = try race.bench.check()
    }

    @Test func oneOfTwoCompactionsWins() throws {
        let race = try Interleaving()
        race.before { bench in
            let rival = Hydration(
                store: bench.memory, state: bench.state, git: bench.git, hook: try Bench.hook)
            guard case .compacted = try bench.compact(in: rival) else {
                throw TestFailure("the rival lost")
            }
        }
        let objects = try race.bench.objects()
        let outcome = try race.bench.compact()
        let state = try race.bench.published()
        // git may make the very same pack of the same ones, and then the very same state.
        if case .compacted(let result) = outcome {
            #expect(result.digest == state.digest)
        } else {
            #expect(outcome == .gaveWay)
        }
        #expect(state.manifest.packs.count == 1)
        #expect(try race.bench.objects() == objects)
        _ = try race.bench.check()
    }

    @Test func compactionGivesUpAfterAnOverlappingOne() throws {
        let race = try Interleaving()
        race.before { bench in
            // One push more, and everything folded: another pack in place of the same ones.
            try bench.push(bench.onePush(), to: bench.memory)
            let rival = Hydration(
                store: bench.memory, state: bench.state, git: bench.git, hook: try Bench.hook)
            guard case .compacted = try bench.compact(.everything, in: rival) else {
                throw TestFailure("the rival lost")
            }
        }
        #expect(try race.bench.compact() == .gaveWay)
        #expect(try race.bench.published().manifest.packs.count == 1)
        _ = try race.bench.check()
    }

    @Test func deletedRepositoryStaysDeleted() throws {
        for isMadeAgain in [false, true] {
            let race = try Interleaving()
            race.before { bench in
                try bench.publishTombstone()
                if isMadeAgain {
                    _ = try Creation(
                        repository: bench.repository, defaultBranch: nil, objectFormat: nil
                    ).run(in: Manifests(bench.memory))
                }
            }
            #expect(try race.bench.compact() == .gaveWay)
            if isMadeAgain {
                #expect(try race.bench.published().manifest.packs.isEmpty)
            } else {
                #expect(try race.bench.compact() == .notThere)
            }
        }
    }

    @Test func pushOnMergedPacksIsReceivedAgain() throws {
        let bench = try Bench()
        for _ in 0..<3 { try bench.push(bench.onePush()) }
        let push = try bench.onePush(to: "refs/heads/other")
        let reception = try bench.receive(push)
        let objects = try bench.objects()
        guard case .compacted = try bench.compact() else {
            Issue.record("not compacted")
            return
        }
        // Lost, or received again: the report agrees with the state.
        let ending = try bench.settle(reception, to: bench.memory)
        let shown = try bench.published().manifest.refs.contains {
            $0.value.hex == push.commands[0].new
        }
        #expect(ending.isPublished == shown)
        #expect(try bench.objects().isSuperset(of: objects))
        _ = try bench.check()
        if !shown { #expect(try bench.push(push).isPublished, "and again it goes through") }
        _ = try bench.check()
    }

    @Test(arguments: [Fault.dropReply, .resend, .failAfterApplying, .dropRequest, .conflict])
    func lostAnswerIsSettledByThePointer(fault: Fault) throws {
        let bench = try Bench { memory in
            FaultyStore(wrapping: memory, [FaultRule(fault, keys: Self.pointer, limit: 1)])
        }
        for _ in 0..<3 { try bench.push(bench.onePush(), to: bench.memory) }
        let objects = try bench.objects()
        guard case .compacted(let result) = try bench.compact() else {
            Issue.record("not compacted")
            return
        }
        #expect(try bench.published().digest == result.digest)
        #expect(try bench.objects() == objects)
    }

    @Test func unknownOutcomeIsAnErrorAndLosesNothing() throws {
        for fault in [Fault.dropReply, .dropRequest] {
            let bench = try Bench { memory in
                FaultyStore(
                    wrapping: memory,
                    [
                        FaultRule(fault, keys: Self.pointer, limit: 1),
                        FaultRule(.dropRequest, on: [.get], keys: Self.pointer, sparing: 1),
                    ])
            }
            for _ in 0..<3 { try bench.push(bench.onePush(), to: bench.memory) }
            let objects = try bench.objects()
            #expect {
                _ = try bench.compact()
            } throws: { error in
                if case StoreError.undetermined = error { true } else { false }
            }
            #expect(try bench.objects() == objects)
            _ = try bench.check()
        }
    }

    @Test(arguments: ["packs/", "manifests/"])
    func failingStorePublishesNothing(part: String) throws {
        let bench = try Bench { memory in
            FaultyStore(wrapping: memory, [FaultRule(.denied, keys: { $0.path.contains(part) })])
        }
        for _ in 0..<3 { try bench.push(bench.onePush(), to: bench.memory) }
        let before = try bench.published().digest
        #expect(throws: StoreError.self) { try bench.compact() }
        #expect(try bench.published().digest == before)
        #expect(try bench.leftovers().isEmpty)
    }

    @Test func nothingIsLostWhileOthersPush() throws {
        let bench = try Bench()
        for _ in 0..<3 { try bench.push(bench.onePush()) }
        let isOver = Mutex(false)
        let compacting = Background<Int> {
            var done = 0
            while !isOver.withLock({ $0 }) {
                if case .compacted = try bench.compact() { done += 1 }
            }
            return done
        }
        let told = try concurrently(3) { writer in
            try (0..<6).compactMap { round -> String? in
                let push = try bench.onePush(to: "refs/heads/w\(writer)-\(round)")
                return try bench.push(push).isPublished ? push.commands[0].new : nil
            }
        }.flatMap { $0 }
        isOver.withLock { $0 = true }
        _ = try compacting.value()
        let shown = Set(try bench.published().manifest.refs.values.map(\.hex))
        #expect(Set(told).isSubset(of: shown))
        #expect(shown.count == told.count + 1)
        _ = try bench.check()
        _ = try bench.compact(.everything)
        #expect(try bench.published().manifest.packs.count == 1)
        _ = try bench.check()
    }
}
