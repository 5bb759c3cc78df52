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

/// Renaming.
@Suite struct RenamingTests {
    private let old: RepositoryName
    private let new: RepositoryName

    init() throws {
        old = try #require(RepositoryName("owner/repo"))
        new = try #require(RepositoryName("other/name"))
    }

    /// The resolution of a name, past all faults.
    private func resolve(_ name: RepositoryName, _ bench: Bench) throws -> Snapshot.Resolution {
        try Manifests(bench.memory).resolve(name)
    }

    private func isLive(_ name: RepositoryName, _ bench: Bench) throws -> Bool {
        if case .live = try resolve(name, bench) { true } else { false }
    }

    private func isDeleted(_ name: RepositoryName, _ bench: Bench) throws -> Bool {
        if case .deleted = try resolve(name, bench) { true } else { false }
    }

    private func rename(_ bench: Bench, _ store: (any ObjectStore)? = nil) throws {
        _ = try Renaming(of: old, to: new).run(
            in: try hydration(bench, store ?? bench.store), log: Bench.log)
    }

    private func resume(_ bench: Bench) throws {
        _ = try Renaming(of: old, to: new).resume(
            in: try hydration(bench, bench.memory), log: Bench.log)
    }

    private func hydration(_ bench: Bench, _ store: any ObjectStore) throws -> Hydration {
        Hydration(store: store, state: bench.state, git: bench.git, hook: "")
    }

    private func create(_ name: RepositoryName, in store: any ObjectStore) {
        do {
            let branch = RefName("refs/heads/somebody-elses")
            _ = try Creation(repository: name, defaultBranch: branch, objectFormat: nil).run(
                in: Manifests(store))
        } catch {
            Issue.record(error)
        }
    }

    private static func isPointer(of name: RepositoryName) -> @Sendable (ObjectKey) -> Bool {
        { $0 == .pointer(of: name) }
    }

    @Test func newNameHasTheLastStateAndTheOldOneATombstone() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let last = try bench.published()
        try rename(bench)
        guard case .deleted(let tombstone) = try resolve(old, bench),
            case .live(let snapshot) = try resolve(new, bench)
        else {
            Issue.record("not renamed")
            return
        }
        #expect(tombstone.manifest.parent == last.digest)
        var expected = last.manifest
        expected.parent = nil
        #expect(snapshot.manifest == expected)
    }

    @Test func oneOfTwoRenamingsWins() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let third = try #require(RepositoryName("third/name"))
        let other = Mutex<Result<PublishedState, any Error>?>(nil)
        // The second begins between the first one's look at the old name and its swap.
        let faulty = FaultyStore(
            wrapping: bench.memory,
            [
                FaultRule(
                    .interleave { _ in
                        let done = Result {
                            try Renaming(of: old, to: third).run(
                                in: try hydration(bench, bench.memory), log: Bench.log)
                        }
                        other.withLock { $0 = done }
                    }, on: [.put], keys: Self.isPointer(of: old), limit: 1)
            ])
        let first = Result { try rename(bench, faulty) }
        #expect(throws: Never.self) { try other.withLock { _ = try $0?.get() } }
        #expect(throws: LifecycleError.self) { try first.get() }
        #expect(try isDeleted(old, bench) && isLive(third, bench))
        #expect(try !isLive(new, bench))
    }

    @Test func renamingBackRepeatsNoState() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        var seen: Set<String> = []
        func note() throws {
            for name in [old, new] {
                let digest = try #require(try resolve(name, bench).latest?.digest)
                // Both names may have equal states; one name has none of them twice.
                #expect(seen.insert("\(name) \(digest)").inserted)
            }
        }
        try rename(bench)
        try note()
        for _ in 0..<3 {
            _ = try Renaming(of: new, to: old).run(
                in: try hydration(bench, bench.memory), log: Bench.log)
            try note()
            try rename(bench)
            try note()
        }
    }

    @Test func invalidRenamingsChangeNothing() throws {
        let bench = try Bench()
        create(new, in: bench.memory)
        let keys = bench.memory.keys
        bench.memory.resetCounts()
        #expect(throws: LifecycleError.present(new, remedy: ".")) { try rename(bench) }
        let none = try #require(RepositoryName("owner/none"))
        let free = try #require(RepositoryName("owner/free"))
        for (from, to) in [(none, free), (old, old), (new, new)] {
            #expect(throws: LifecycleError.self) {
                _ = try Renaming(of: from, to: to).run(
                    in: try hydration(bench, bench.memory), log: Bench.log)
            }
        }
        #expect(bench.memory.counts.puts == 0)
        #expect(bench.memory.keys == keys)
        _ = try Deletion(of: old).run(in: Manifests(bench.memory))
        #expect(throws: LifecycleError.nothingToRename(old, to: free)) {
            _ = try Renaming(of: old, to: free).run(
                in: try hydration(bench, bench.memory), log: Bench.log)
        }
    }

    @Test func pushesThatWinFirstMoveAlong() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let late = try bench.receive(bench.onePush(to: "refs/heads/late"))
        let faulty = FaultyStore(
            wrapping: bench.memory,
            [
                FaultRule(
                    .interleave { _ in
                        do {
                            try bench.push(bench.onePush(to: "refs/heads/early"))
                        } catch {
                            Issue.record(error)
                        }
                    }, keys: Self.isPointer(of: old), limit: 1)
            ])
        try rename(bench, faulty)
        guard case .lost = try bench.settle(late, to: bench.memory) else {
            Issue.record("not lost")
            return
        }
        guard case .live(let snapshot) = try resolve(new, bench) else {
            Issue.record("not renamed")
            return
        }
        #expect(
            snapshot.manifest.refs.keys.map(\.description).sorted()
                == ["refs/heads/early", "refs/heads/main"])
        #expect(try isDeleted(old, bench))
    }

    @Test func takenTargetLeavesTheOldName() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let before = try bench.published().manifest
        let faulty = FaultyStore(
            wrapping: bench.memory,
            [
                FaultRule(
                    .interleave { create(new, in: $0) }, keys: Self.isPointer(of: new), limit: 1)
            ])
        #expect {
            try rename(bench, faulty)
        } throws: { error in
            (error as? RenamingFailure)?.state == .undone
                && "\(error)".contains("'other/name' already exists. 'owner/repo' is unchanged.")
        }
        var after = try bench.published().manifest
        after.parent = before.parent
        #expect(after == before)
        guard case .live(let theirs) = try resolve(new, bench) else {
            Issue.record("theirs is gone")
            return
        }
        #expect(theirs.manifest.refs.isEmpty)
    }

    @Test func targetDeletedInBetweenIsTheParent() throws {
        let bench = try Bench()
        let faulty = FaultyStore(
            wrapping: bench.memory,
            [
                FaultRule(
                    .interleave { store in
                        create(new, in: store)
                        do {
                            _ = try Deletion(of: new).run(in: Manifests(store))
                        } catch {
                            Issue.record(error)
                        }
                    }, keys: Self.isPointer(of: new), limit: 1)
            ])
        try rename(bench, faulty)
        #expect(try resolve(new, bench).latest?.manifest.parent != nil)
        #expect(try isDeleted(old, bench))
    }

    @Test func deniedTargetLeavesTheOldName() throws {
        let bench = try Bench()
        let faulty = FaultyStore(
            wrapping: bench.memory, [FaultRule(.denied, keys: Self.isPointer(of: new))])
        #expect {
            try rename(bench, faulty)
        } throws: {
            ($0 as? RenamingFailure)?.state == .undone
        }
        #expect(try isLive(old, bench))
        #expect(bench.memory.bytes(at: .pointer(of: new)) == nil)
    }

    @Test func interruptedRenamingCanBeResumed() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let last = try bench.published().manifest
        let faulty = FaultyStore(
            wrapping: bench.memory,
            [
                FaultRule(.denied, keys: Self.isPointer(of: new)),
                FaultRule(.denied, keys: Self.isPointer(of: old), sparing: 1),
            ])
        #expect {
            try rename(bench, faulty)
        } throws: {
            ($0 as? RenamingFailure)?.state == .begun
                && "\($0)".contains("rename --resume owner/repo other/name")
        }
        #expect(try isDeleted(old, bench))
        try resume(bench)
        guard case .live(let snapshot) = try resolve(new, bench) else {
            Issue.record("not resumed")
            return
        }
        #expect(snapshot.manifest.refs == last.refs && snapshot.manifest.packs == last.packs)
        // Resuming a completed renaming reports that.
        bench.memory.resetCounts()
        try resume(bench)
        #expect(bench.memory.counts.puts == 0)
    }

    @Test func renamingOfUnknownOutcomeIsNotUndone() throws {
        for (name, state) in [
            (old, RenamingFailure.State.mayHaveBegun), (new, .mayBeDone),
        ] {
            let bench = try Bench()
            let faulty = FaultyStore(
                wrapping: bench.memory,
                [
                    FaultRule(.dropReply, keys: Self.isPointer(of: name), limit: 1),
                    FaultRule(
                        .dropRequest, on: [.get], keys: Self.isPointer(of: name),
                        sparing: 1),
                ])
            #expect {
                try rename(bench, faulty)
            } throws: {
                ($0 as? RenamingFailure)?.state == state
            }
            #expect(try isDeleted(old, bench))
            #expect(try isLive(new, bench) == (name == new))
            try resume(bench)
            #expect(try isLive(new, bench))
        }
    }

    @Test func stateCanBeRestoredWhenBothNamesAreTaken() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let last = try bench.published()
        let faulty = FaultyStore(
            wrapping: bench.memory,
            [
                FaultRule(
                    .interleave { store in
                        create(new, in: store)
                        create(old, in: store)
                    }, keys: Self.isPointer(of: new), limit: 1)
            ])
        #expect {
            try rename(bench, faulty)
        } throws: {
            ($0 as? RenamingFailure)?.state == .sourceTaken(last: last.digest)
        }
        _ = try Deletion(of: old).run(in: Manifests(bench.memory))
        _ = try Restoration(of: old, to: last.digest).run(
            in: bench.hydration(), log: Bench.log)
        #expect(try bench.published().manifest.refs == last.manifest.refs)
    }

    @Test func onlyItsOwnRenamingIsResumed() throws {
        let bench = try Bench()
        #expect(throws: LifecycleError.self) { try resume(bench) }
        _ = try Deletion(of: old).run(in: Manifests(bench.memory))
        create(new, in: bench.memory)
        #expect(throws: LifecycleError.present(new, remedy: ".")) { try resume(bench) }
        #expect(try isDeleted(old, bench))
    }

    @Test func olderStateIsCompletedBeforeAnythingChanges() throws {
        let bench = try Bench()
        let tag = try bench.publishAsOlderWriter()
        let pack = try #require(try bench.published().manifest.packs.first)
        let bytes = try #require(bench.memory.bytes(at: .pack(pack)))
        bench.memory.plant(nil, at: .pack(pack))
        #expect(throws: StoreError.self) { try rename(bench) }
        #expect(try isLive(old, bench))
        bench.memory.plant(bytes, at: .pack(pack))
        try rename(bench)
        #expect(
            try resolve(new, bench).latest?.manifest.peeled
                == [try #require(RefName("refs/tags/v1")): tag.target])
    }
}
