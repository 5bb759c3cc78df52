import Bytes
import GitProtocol
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Maintenance
@testable import Push
@testable import Repository

/// Deleting, restoring and creating again.
@Suite struct DeletionTests {
    private static let pointer: @Sendable (ObjectKey) -> Bool = { $0.path.hasSuffix("/pointer") }

    private func resolve(_ bench: Bench) throws -> Snapshot.Resolution {
        try Manifests(bench.memory).resolve(bench.repository)
    }

    @Test func tombstoneFollowsTheLastStateAndNothingIsRemoved() throws {
        let bench = try Bench(format: .sha256)
        try bench.push(bench.onePush())
        let last = try bench.published()
        let keys = Set(bench.memory.keys)
        let done = try Deletion(of: bench.repository).run(in: Manifests(bench.memory))
        #expect(done.manifest.parent == last.digest)
        guard case .deleted(let tombstone) = try resolve(bench) else {
            Issue.record("not deleted")
            return
        }
        #expect(tombstone.digest == done.digest)
        #expect(
            tombstone.manifest
                == Manifest(
                    kind: .tombstone, head: last.manifest.head, parent: last.digest,
                    objectFormat: .sha256, mark: tombstone.manifest.mark))
        #expect(tombstone.manifest.mark != nil)
        #expect(keys.isSubset(of: bench.memory.keys))
    }

    @Test func missingRepositoryIsNotDeleted() throws {
        let bench = try Bench()
        let other = try #require(RepositoryName("owner/none"))
        #expect(throws: LifecycleError.absent(other, location: bench.memory.location)) {
            try Deletion(of: other).run(in: Manifests(bench.memory))
        }
        let last = try Deletion(of: bench.repository).run(in: Manifests(bench.memory)).manifest
            .parent
        bench.memory.resetCounts()
        #expect(throws: LifecycleError.deleted(bench.repository, last: last)) {
            try Deletion(of: bench.repository).run(in: Manifests(bench.memory))
        }
        #expect(bench.memory.counts.puts == 0)
    }

    @Test func oneOfTwoDeletionsWins() throws {
        let bench = try Bench()
        let last = try bench.published().digest
        let faulty = FaultyStore(
            wrapping: bench.memory,
            [
                FaultRule(
                    .interleave { _ in
                        do {
                            _ = try Deletion(of: bench.repository).run(in: Manifests(bench.memory))
                        } catch {
                            Issue.record(error)
                        }
                    }, on: [.put], keys: { $0.path.hasSuffix("/pointer") }, limit: 1)
            ])
        #expect(throws: LifecycleError.deleted(bench.repository, last: last)) {
            try Deletion(of: bench.repository).run(in: Manifests(faulty))
        }
    }

    @Test func pushesThatWinFirstAreDeletedWithTheRest() throws {
        let bench = try Bench()
        let faulty = FaultyStore(
            wrapping: bench.memory,
            [
                FaultRule(
                    .interleave { _ in
                        do {
                            try bench.push(bench.onePush())
                        } catch {
                            Issue.record(error)
                        }
                    }, keys: Self.pointer, limit: 3)
            ])
        let done = try Deletion(of: bench.repository).run(in: Manifests(faulty))
        #expect(done.packsBefore == 3)
        guard case .deleted(let tombstone) = try resolve(bench) else {
            Issue.record("not deleted")
            return
        }
        #expect(tombstone.manifest == done.manifest)
    }

    @Test func deletionGivesUpOnABusyRepository() throws {
        let bench = try Bench()
        let faulty = FaultyStore(
            wrapping: bench.memory,
            [
                FaultRule(
                    .interleave { _ in
                        do {
                            try bench.push(bench.onePush())
                        } catch {
                            Issue.record(error)
                        }
                    }, keys: Self.pointer)
            ])
        #expect(throws: LifecycleError.busy(bench.repository)) {
            try Deletion(of: bench.repository).run(in: Manifests(faulty))
        }
        #expect(try bench.published().manifest.packs.count == LifecycleError.attempts)
    }

    @Test(arguments: [
        Fault.dropReply, .resend, .failAfterApplying, .dropRequest, .conflict,
    ])
    func lostAnswerIsSettledOrUnknown(fault: Fault) throws {
        let settled = try Bench { memory in
            FaultyStore(wrapping: memory, [FaultRule(fault, keys: Self.pointer, limit: 1)])
        }
        _ = try Deletion(of: settled.repository).run(in: Manifests(settled.store))
        guard case .deleted = try resolve(settled) else {
            Issue.record("not deleted")
            return
        }
    }

    @Test func unknownOutcomeIsReported() throws {
        let bench = try Bench { memory in
            FaultyStore(
                wrapping: memory,
                [
                    FaultRule(.dropReply, keys: Self.pointer, limit: 1),
                    FaultRule(.dropRequest, on: [.get], keys: Self.pointer, sparing: 1),
                ])
        }
        #expect {
            _ = try Deletion(of: bench.repository).run(in: Manifests(bench.store))
        } throws: { error in
            if case StoreError.undetermined = error { true } else { false }
        }
    }

    @Test func pushInFlightIsLost() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let before = try bench.published()
        let pushes = try (0..<2).map { try bench.onePush(to: "refs/heads/new-\($0)") }
        for push in pushes {
            let reception = try bench.receive(push, on: before)
            if case .live = try resolve(bench) {
                _ = try Deletion(of: bench.repository).run(in: Manifests(bench.memory))
            } else {
                let creation = Creation(
                    repository: bench.repository, defaultBranch: nil, objectFormat: nil)
                #expect(try creation.run(in: Manifests(bench.memory)) == .created)
            }
            let digest = try #require(try resolve(bench).latest?.digest)
            guard case .lost = try bench.settle(reception, to: bench.memory) else {
                Issue.record("not lost")
                return
            }
            let now = try #require(try resolve(bench).latest)
            #expect(now.digest == digest && now.manifest.refs.isEmpty)
        }
    }

    @Test func noStateReturnsAfterManyCycles() throws {
        let bench = try Bench()
        var seen = Set([try bench.published().digest])
        func note() throws {
            let digest = try #require(try resolve(bench).latest?.digest)
            #expect(seen.insert(digest).inserted, "it was there before")
        }
        for _ in 0..<3 {
            _ = try Deletion(of: bench.repository).run(in: Manifests(bench.memory))
            try note()
            _ = try Creation(
                repository: bench.repository, defaultBranch: nil, objectFormat: nil
            ).run(in: Manifests(bench.memory))
            try note()
            _ = try Deletion(of: bench.repository).run(in: Manifests(bench.memory))
            try note()
            _ = try Restoration(of: bench.repository).run(in: bench.hydration(), log: Bench.log)
            try note()
        }
    }

    @Test func restoredRepositoryIsWhatItWas() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let last = try bench.published()
        let tombstone = try Deletion(of: bench.repository).run(in: Manifests(bench.memory)).digest
        let done = try Restoration(of: bench.repository).run(
            in: bench.hydration(), log: Bench.log)
        let now = try bench.published()
        #expect(now.digest == done.digest && now.manifest == done.manifest)
        var expected = last.manifest
        expected.parent = tombstone
        #expect(now.manifest == expected)
        _ = try bench.check()
        #expect(throws: LifecycleError.self) {
            try Restoration(of: bench.repository).run(in: bench.hydration(), log: Bench.log)
        }
    }

    @Test func earlierStatesCanBeRestored() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let wanted = try bench.published()
        _ = try Deletion(of: bench.repository).run(in: Manifests(bench.memory))
        _ = try Creation(
            repository: bench.repository, defaultBranch: nil, objectFormat: nil
        ).run(in: Manifests(bench.memory))
        let done = try Deletion(of: bench.repository).run(in: Manifests(bench.memory))
        let none = Digest(of: [])
        for wrong in [none, done.digest] {
            #expect(throws: LifecycleError.noSuchState(bench.repository, wrong)) {
                try Restoration(of: bench.repository, to: wrong).run(
                    in: bench.hydration(), log: Bench.log)
            }
        }
        _ = try Restoration(of: bench.repository, to: wanted.digest).run(
            in: bench.hydration(), log: Bench.log)
        #expect(try bench.published().manifest.refs == wanted.manifest.refs)
        _ = try bench.check()
    }

    @Test func olderStateIsCompletedBeforeItIsPublishedAgain() throws {
        let bench = try Bench()
        let tag = try bench.publishAsOlderWriter()
        _ = try Deletion(of: bench.repository).run(in: Manifests(bench.memory))
        _ = try Restoration(of: bench.repository).run(in: bench.hydration(), log: Bench.log)
        let peeled = try bench.published().manifest.peeled
        #expect(peeled == [try #require(RefName("refs/tags/v1")): tag.target])
        #expect(try bench.leftovers().isEmpty)
    }
}

extension Bench {
    /// Publishes a tag, by a manifest that does not say what it peels to.
    func publishAsOlderWriter() throws -> (id: ObjectID, target: ObjectID) {
        let commit = try source.commit("one")
        let tag = try source.tag("v1", of: commit)
        try push(
            PushRequest(
                commands: [(zero, commit, "refs/heads/main"), (zero, tag, "refs/tags/v1")],
                pack: try source.pack([tag])))
        let text = String(decoding: try published().manifest.canonicalBytes(), as: UTF8.self)
        let cut = try #require(text.firstRange(of: ",\"peeled\""))
        let old = Array((text[..<cut.lowerBound] + "}").utf8)
        memory.plant(old, at: .manifest(Digest(of: old)))
        memory.plant(Digest(of: old).bytes, at: .pointer(of: repository))
        return (
            try #require(ObjectID(Array(tag.utf8))), try #require(ObjectID(Array(commit.utf8)))
        )
    }
}
