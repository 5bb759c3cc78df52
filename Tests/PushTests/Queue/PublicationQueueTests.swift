import Bytes
import GitProtocol
import ObjectStore
import Synchronization
import TestBench
import TestSupport
import Testing

@testable import Push
@testable import Repository

/// Pushes of one process that are ready together share a swap, and nothing else.
@Suite struct PublicationQueueTests {
    private static let pointer: @Sendable (ObjectKey) -> Bool = { $0.path.hasSuffix("/pointer") }

    /// Publishes pushes, all received on the state published now, through one queue, in their
    /// order. The first one is held in its swap until all others wait.
    private func share(
        _ pushes: [PushRequest], _ bench: Bench, attempts: Int = 5, faults: [FaultRule] = [],
        whileHeld: @escaping @Sendable () throws -> Void = {}
    ) throws -> [Result<Bench.Ending, any Error>] {
        let parent = try bench.published()
        let queue = Mutex<PublicationQueue?>(nil)
        let first = Gate()
        let hold = FaultRule(
            .interleave { _ in
                do {
                    first.open()
                    let held = queue.withLock { $0 }
                    try wait(for: "the others to be in line") { held?.count == pushes.count }
                    try whileHeld()
                } catch {
                    Issue.record(error)
                }
            }, on: [.put], keys: Self.pointer, limit: 1)
        let target = FaultyStore(wrapping: bench.memory, [hold] + faults)
        queue.withLock { $0 = bench.queue(target) }
        return try concurrently(pushes.count) { number in
            let reception = try bench.receive(pushes[number], on: parent)
            guard let line = queue.withLock({ $0 }) else { throw TestFailure("no queue") }
            if number > 0 {
                first.pass()
                try wait(for: "its turn") { line.count >= number }
            }
            do {
                return .success(try bench.settle(reception, in: line, attempts: attempts))
            } catch {
                return .failure(error)
            }
        }
    }

    /// The states from the first to the one published now.
    private func chain(_ bench: Bench) throws -> [Manifest] {
        try bench.chain().map(\.manifest)
    }

    @Test(arguments: [1, 2, 5])
    func differentRefsTakeTwoSwaps(attempts: Int) throws {
        let bench = try Bench()
        let pushes = try (0..<24).map { try bench.onePush(to: "refs/heads/b\($0)") }
        let endings = try share(pushes, bench, attempts: attempts)
        let published = try endings.map { try $0.get() }.filter(\.isPublished)
        // With one attempt nothing is applied to another state than it was received on.
        #expect(published.count == (attempts == 1 ? 1 : 24))
        #expect(try bench.ids().count == published.count)
        #expect(try chain(bench).count == (attempts == 1 ? 2 : 3))
        _ = try bench.check()
    }

    @Test func oneOfThePushesToARefWins() throws {
        let bench = try Bench()
        var pushes = try (0..<7).map { _ in try bench.onePush(to: "refs/heads/a") }
        pushes.insert(try bench.onePush(to: "refs/heads/b"), at: 0)
        let endings = try share(pushes, bench).map { try $0.get() }
        #expect(endings.dropFirst().count { $0.isPublished } == 1)
        for ending in endings.dropFirst() where !ending.isPublished {
            #expect(ending.report.reasons["refs/heads/a"]?.contains("another push") == true)
        }
        #expect(endings[0].isPublished)
        #expect(try bench.ids().count == 2)
    }

    @Test func conflictWithALoserIsPublished() throws {
        let bench = try Bench()
        let opener = try bench.onePush(to: "refs/heads/opener")
        // Both want `a`; the first of them also wants `b`, all or nothing, and `b` moves.
        let greedy = try bench.push(
            bench.source.commit("greedy"), to: ["refs/heads/a", "refs/heads/b"],
            capabilities: "report-status atomic")
        let modest = try bench.onePush(to: "refs/heads/a")
        let mover = try bench.onePush(to: "refs/heads/b")
        let moving = FaultRule(
            .interleave { _ in
                do {
                    #expect(try bench.push(mover, to: bench.memory).isPublished)
                } catch {
                    Issue.record(error)
                }
            }, on: [.put], keys: Self.pointer, limit: 1)
        let endings = try share([opener, greedy, modest], bench, faults: [moving])
            .map { try $0.get() }
        #expect(endings[0].isPublished && !endings[1].isPublished && endings[2].isPublished)
        #expect(try bench.ids()["refs/heads/a"] == modest.commands[0].new)
        #expect(try bench.ids()["refs/heads/b"] == mover.commands[0].new)
    }

    @Test func sharedSwapThatLosesIsTriedAgainForAll() throws {
        let bench = try Bench()
        for _ in 0..<2 { try bench.push(bench.onePush()) }
        let pushes = try (0..<6).map { try bench.onePush(to: "refs/heads/b\($0)") }
        let endings = try share(pushes, bench) {
            try bench.push(bench.onePush(), to: bench.memory)
            try bench.fold()
        }
        #expect(try endings.allSatisfy { try $0.get().isPublished })
        #expect(try bench.ids().count == 7)
        _ = try bench.check()
    }

    @Test(arguments: [
        Fault.dropReply, .resend, .failAfterApplying, .dropRequest, .late(requests: 1),
    ])
    func sharedSwapWithALostAnswerSucceedsForAll(fault: Fault) throws {
        let bench = try Bench()
        let pushes = try (0..<5).map { try bench.onePush(to: "refs/heads/b\($0)") }
        let endings = try share(
            pushes, bench, faults: [FaultRule(fault, on: [.put], keys: Self.pointer, limit: 2)])
        #expect(try endings.allSatisfy { try $0.get().isPublished })
        #expect(try bench.ids().count == 5)
    }

    @Test func sharedSwapOfUnknownOutcomeIsUnknownToAll() throws {
        let bench = try Bench()
        let pushes = try (0..<5).map { try bench.onePush(to: "refs/heads/b\($0)") }
        let endings = try share(
            pushes, bench,
            faults: [
                FaultRule(.dropReply, on: [.put], keys: Self.pointer, limit: 1),
                FaultRule(.dropRequest, on: [.get], keys: Self.pointer),
            ])
        // The one that was held is let through by its rule; the shared swap meets the faults.
        #expect(try endings[0].get().isPublished)
        for ending in endings.dropFirst() {
            #expect {
                _ = try ending.get()
            } throws: { error in
                if case StoreError.undetermined = error { true } else { false }
            }
        }
    }

    @Test func unstorableStateFailsItsOwnPushesOnly() throws {
        let bench = try Bench()
        let pushes = try (0..<4).map { try bench.onePush(to: "refs/heads/b\($0)") }
        let endings = try share(
            pushes, bench,
            faults: [
                FaultRule(
                    .denied, on: [.put], keys: { $0.path.hasPrefix("manifests/") }, sparing: 1,
                    limit: 1)
            ])
        let failed = endings.filter { if case .failure = $0 { true } else { false } }
        #expect(!failed.isEmpty)
        #expect(try bench.ids().count == pushes.count - failed.count)
        #expect(try bench.push(bench.onePush()).isPublished)
    }

    @Test func pushAloneTakesNoAdditionalStep() throws {
        let bench = try Bench()
        let queue = bench.queue()
        for _ in 0..<3 {
            bench.memory.resetCounts()
            let reception = try bench.receive(bench.onePush())
            bench.memory.resetCounts()
            #expect(try bench.settle(reception, in: queue).isPublished)
            #expect(bench.memory.counts == .init(puts: 4))
        }
    }

    @Test func ownStateIsBuiltUponWithoutReading() throws {
        let bench = try Bench()
        let queue = bench.queue()
        let parent = try bench.published()
        for number in 0..<4 {
            let push = try bench.onePush(to: "refs/heads/b\(number)")
            let reception = try bench.receive(push, on: parent)
            bench.memory.resetCounts()
            #expect(try bench.settle(reception, in: queue).isPublished)
            #expect(bench.memory.counts == .init(puts: 4), "\(number)")
        }
        #expect(try bench.ids().count == 4)
    }

    @Test func queueLivesAsLongAsItsUsers() throws {
        let bench = try Bench()
        let queues = PublicationQueues(in: Manifests(bench.memory))
        let other = try #require(RepositoryName("owner/other"))
        var first: PublicationQueue? = queues.queue(of: bench.repository)
        #expect(first === queues.queue(of: bench.repository))
        #expect(first !== queues.queue(of: other))
        let isGone = { [weak first] in first == nil }
        first = nil
        #expect(isGone())
        #expect(queues.queue(of: bench.repository).count == 0)
    }
}

extension Bench {
    /// The states from the first to the one published now, with their digests.
    func chain() throws -> [(digest: Digest, manifest: Manifest)] {
        var states: [(Digest, Manifest)] = []
        var next = try Manifests(memory).resolve(repository).latest?.digest
        while let digest = next {
            let manifest = try Manifests(memory).manifest(digest, of: repository)
            states.append((digest, manifest))
            next = manifest.parent
        }
        return states.reversed()
    }
}
