import Bytes
import GitProtocol
import ObjectStore
import TestBench
import TestSupport
import Testing

@testable import Hydration
@testable import Maintenance
@testable import Repository

/// Renamings, deletions, restorations and pushes at random, one within another, some of them killed:
/// no repository has two names at any time.
@Suite(.tags(.slow, .fuzz)) struct RenamingFuzzTests {
    /// One history: three names, and repositories that are known by a ref that they keep.
    private final class World: @unchecked Sendable {
        let bench: Bench
        let memory = MemoryStore()
        let names: [RepositoryName]
        var random: SplitMix64
        private var made: UInt8 = 0
        private(set) var story: [String] = []
        private(set) var successes = 0

        init(_ bench: Bench, seed: UInt64) throws {
            self.bench = bench
            names = ["a/a", "b/b", "c/c"].compactMap { RepositoryName($0) }
            random = SplitMix64(seed: seed)
        }

        private func hydration(_ store: any ObjectStore) -> Hydration {
            Hydration(store: store, state: bench.state, git: bench.git, hook: "")
        }

        private var number: ObjectID? {
            made += 1
            return ObjectID(Digest(of: [made]).bytes.prefix(40))
        }

        /// Publishes to a name: a new repository, or a change of the one that is there.
        private func push(_ name: RepositoryName, in store: any ObjectStore) throws {
            let latest = try Manifests(store).resolve(name).latest
            var state = Manifest(head: .main)
            if let latest, latest.manifest.kind == .live {
                state = latest.manifest
            } else if let id = RefName("refs/heads/id") {
                state.refs[id] = number
            }
            state.refs[.main] = number
            _ = try Swap(of: name, from: latest, in: Manifests(store)).publish(state)
        }

        /// A state that was ever published under a name.
        private func anyState(of name: RepositoryName) throws -> Digest? {
            var states: [Digest] = []
            var next = try Manifests(memory).resolve(name).latest?.digest
            while let here = next {
                let manifest = try Manifests(memory).manifest(here, of: name)
                if manifest.kind == .live { states.append(here) }
                next = manifest.parent
            }
            return states.randomElement(using: &random)
        }

        private func act(in store: any ObjectStore) throws {
            let one = names.randomElement(using: &random) ?? names[0]
            let other = names.filter { $0 != one }.randomElement(using: &random) ?? names[1]
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<2:
                story.append("push \(one)")
                try push(one, in: store)
            case 2..<5:
                story.append("rename \(one) \(other)")
                _ = try Renaming(of: one, to: other).run(in: hydration(store), log: Bench.log)
            case 5:
                story.append("resume \(one) \(other)")
                _ = try Renaming(of: one, to: other).resume(in: hydration(store), log: Bench.log)
            case 6:
                story.append("delete \(one)")
                _ = try Deletion(of: one).run(in: Manifests(store))
            default:
                let state = Bool.random(using: &random) ? nil : try anyState(of: one)
                story.append("restore \(one) \(state.map { "\($0)".prefix(6) } ?? "")")
                _ = try Restoration(of: one, to: state).run(
                    in: hydration(store), log: Bench.log)
            }
            story.append("ok")
            successes += 1
        }

        /// Does something; perhaps with something else in the middle, perhaps killed there.
        func step() {
            let verbs: Set<FaultRule.Verb> = [.get, .put, .head]
            let place = Int.random(in: 0..<14, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                let faulty = FaultyStore(
                    wrapping: memory,
                    [
                        FaultRule(
                            .interleave { [self] _ in try? act(in: memory) }, on: verbs,
                            sparing: place, limit: 1)
                    ])
                try? act(in: faulty)
            case 1:
                let faulty = FaultyStore(
                    wrapping: memory,
                    [
                        FaultRule(.late(requests: .max), on: verbs, sparing: place, limit: 1),
                        FaultRule(.dropRequest, on: verbs, sparing: place),
                    ])
                try? act(in: faulty)
                story.append("killed?")
                try? act(in: memory)
                faulty.landLate()
                story.append("landed")
            default: try? act(in: memory)
            }
        }

        /// The names of each repository that is live.
        func living() throws -> [ObjectID: [RepositoryName]] {
            var living: [ObjectID: [RepositoryName]] = [:]
            for name in names {
                guard case .live(let snapshot) = try Manifests(memory).resolve(name),
                    let id = RefName("refs/heads/id").flatMap({ snapshot.manifest.refs[$0] })
                else { continue }
                living[id, default: []].append(name)
            }
            return living
        }
    }

    @Test(arguments: 0..<40)
    func randomRenamingsGiveNoRepositoryTwoNames(seed: Int) throws {
        let bench = try Bench()
        var successes = 0
        for round in 0..<10 {
            let world = try World(bench, seed: UInt64(seed * 1000 + round))
            for _ in 0..<25 {
                world.step()
                let doubled = try world.living().filter { $0.value.count > 1 }
                if !doubled.isEmpty {
                    Issue.record("\(doubled.values) after \(world.story.joined(separator: "; "))")
                    return
                }
            }
            successes += world.successes
        }
        #expect(successes > 0)
    }
}
