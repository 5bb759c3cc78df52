import Bytes
import GitProtocol
import ObjectStore
import Synchronization
import TestBench
import TestSupport
import Testing

@testable import Git
@testable import Hydration
@testable import Push
@testable import Repository

/// Pushes at random, from two processes, on a store that loses answers, while packs are folded:
/// whatever happens, the reports agree with the chain of published states.
@Suite(.tags(.slow, .race, .fuzz)) struct RandomScheduleTests {
    private static let names = [
        "refs/heads/a", "refs/heads/b", "refs/heads/c", "refs/heads/d", "refs/heads/d/e",
        "refs/tags/t",
    ]

    /// One push and its report.
    private struct Told: Sendable {
        let push: PushRequest
        let outcome: Result<Bench.Ending, any Error>

        var isAtomic: Bool { push.capabilities.contains("atomic") }

        /// Whether it may have landed without a report.
        var isUnknown: Bool {
            guard case .failure(let error) = outcome else { return false }
            return (error as? StoreError)?.leavesWriteUnknown == true
        }

        /// Ref → new value; nil if it is deleted.
        func effects(of names: [String]) -> [String: String?] {
            var effects: [String: String?] = [:]
            for command in push.commands where names.contains(command.name) {
                let isDeletion = command.new.allSatisfy { $0 == "0" }
                effects.updateValue(isDeletion ? nil : command.new, forKey: command.name)
            }
            return effects
        }

        /// The digest under which it was reported as published, and its changes.
        var published: (digest: Digest, effects: [String: String?])? {
            guard case .success(.published(let digest, let report)) = outcome else { return nil }
            return (digest, effects(of: report.acceptedNames))
        }

        /// New ids that must not be found, for they were refused.
        var refused: [(name: String, id: String)] {
            let names: [String]
            switch outcome {
            case .success(let ending): names = Array(ending.report.reasons.keys)
            case .failure: names = isUnknown ? [] : push.commands.map(\.name)
            }
            return push.commands.filter { names.contains($0.name) && !$0.new.hasPrefix("0000") }
                .map { ($0.name, $0.new) }
        }
    }

    /// One pusher.
    private func run(
        _ bench: Bench, _ queue: PublicationQueue, seed: UInt64, pushes: Int
    ) throws -> [Told] {
        var random = SplitMix64(seed: seed)
        var stale = try bench.published()
        return try (0..<pushes).map { _ in
            let parent =
                Double.random(in: 0..<1, using: &random) < 0.3
                ? stale : try bench.published()
            let push = try randomPush(bench, on: parent.manifest, using: &random)
            let reception = try bench.receive(push, on: parent)
            stale = parent
            do {
                let ending = try bench.settle(reception, in: queue, attempts: 4)
                return Told(push: push, outcome: .success(ending))
            } catch {
                return Told(push: push, outcome: .failure(error))
            }
        }
    }

    private func randomPush(
        _ bench: Bench, on parent: Manifest, using random: inout SplitMix64
    ) throws -> PushRequest {
        let names = Self.names.shuffled(using: &random)
            .prefix(Int.random(in: 1...3, using: &random))
        var commands: [(old: String, new: String, name: String)] = []
        var new: [String] = []
        for name in names {
            let old = parent.refs.first { $0.key.description == name }?.value.hex
            if let old, Int.random(in: 0..<3, using: &random) == 0 {
                commands.append((old, bench.zero, name))
                continue
            }
            // Upon any branch, which another may be deleting.
            let base =
                Int.random(in: 0..<2, using: &random) == 0
                ? parent.refs.values.map(\.hex).sorted().randomElement(using: &random) : old
            let commit = try bench.source.commit("\(random.next())", parent: base)
            commands.append((old ?? bench.zero, commit, name))
            new.append(commit)
        }
        let capabilities =
            ["report-status", "report-status", "report-status atomic", ""]
            .randomElement(using: &random) ?? ""
        return PushRequest(
            commands: commands, capabilities: capabilities + " delete-refs",
            pack: new.isEmpty
                ? [] : try bench.source.pack(new, without: parent.refs.values.map(\.hex)))
    }

    @Test(arguments: 1...3 as ClosedRange<UInt64>)
    func reportsEqualThePublishedStates(seed: UInt64) throws {
        let bench = try Bench()
        for name in Self.names.prefix(3) { try bench.push(bench.onePush(to: name)) }
        let beginning = try bench.chain().count
        let faults: [Fault] = [
            .dropReply, .dropRequest, .late(requests: 2), .resend, .unavailable, .failAfterApplying,
            .conflict, .delay(.milliseconds(3)),
        ]
        let stores = (0..<2).map { number in
            FaultyStore(
                wrapping: bench.memory, seed: seed &* 2 &+ UInt64(number),
                faults.map { FaultRule($0, on: [.put, .get], probability: 0.03) })
        }
        let queues = stores.map { bench.queue($0) }
        let isOver = Mutex(false)
        let folding = Background {
            while !isOver.withLock({ $0 }) {
                // One that lost, or found nothing to fold, comes again.
                do { try bench.fold() } catch is TestFailure {}
            }
        }
        let told = try concurrently(6) { number in
            try run(
                bench, queues[number % 2], seed: seed &* 100 &+ UInt64(number), pushes: 4)
        }.flatMap { $0 }
        isOver.withLock { $0 = true }
        try folding.value()
        for store in stores { store.landLate() }
        let story = "seed \(seed): \(stores.map(\.story))"
        try verify(told, bench, from: beginning, story)
    }

    private func verify(_ told: [Told], _ bench: Bench, from beginning: Int, _ story: String) throws
    {
        let chain = try bench.chain()
        let states = chain.map { state in
            Dictionary(
                uniqueKeysWithValues: state.manifest.refs.map { ($0.key.description, $0.value.hex) }
            )
        }
        for one in told {
            if let (digest, effects) = one.published {
                guard let position = chain.firstIndex(where: { $0.digest == digest }) else {
                    Issue.record("published, but in no state: \(one); \(story)")
                    continue
                }
                for (name, id) in effects {
                    #expect(states[position][name] == id, "\(one); \(story)")
                }
                if one.isAtomic { #expect(effects.count == one.push.commands.count, "\(story)") }
            }
            for (name, id) in one.refused {
                #expect(!states.contains { $0[name] == id }, "refused: \(one); \(story)")
            }
            if case .failure(let error) = one.outcome, !(error is StoreError) {
                Issue.record("\(error); \(story)")
            }
        }
        // Each state is the one before it with exactly one reported push, or one that may have landed without a report.
        for position in states.indices.dropFirst(beginning) {
            let (before, after) = (states[position - 1], states[position])
            let names = Set(before.keys).union(after.keys).filter { before[$0] != after[$0] }
            let here = told.filter { $0.published?.digest == chain[position].digest }
            for name in names {
                let isTold = here.contains { one in
                    one.published?.effects.contains { $0.key == name && $0.value == after[name] }
                        == true
                }
                let isUnknown = told.contains { one in
                    one.isUnknown
                        && one.effects(of: [name]).contains { $0.value == after[name] }
                }
                #expect(isTold || isUnknown, "'\(name)' changed unasked; \(story)")
            }
            #expect(chain[position].manifest.head == chain[position - 1].manifest.head)
            if position % 5 == 0 { try checkClosed(chain[position], bench) }
        }
        _ = try bench.check()
    }

    /// Everything that the refs of a state reach lies in its packs.
    private func checkClosed(
        _ state: (digest: Digest, manifest: Manifest), _ bench: Bench
    ) throws {
        let snapshot = Snapshot(
            repository: bench.repository, etag: try bench.published().etag, digest: state.digest,
            manifest: state.manifest)
        let workspace = try bench.hydration().readWorkspace(snapshot, log: Bench.log, limits: .none)
        try Command.runGit(["rev-list", "--objects", "--all"], in: workspace.path)
    }
}
