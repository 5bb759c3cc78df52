import Bytes
import GitProtocol
import Glibc
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Git
@testable import Hydration
@testable import Maintenance
@testable import Push
@testable import Repository

/// Compacting a repository.
@Suite struct CompactionTests {
    @Test(arguments: [ObjectFormat.sha1, .sha256])
    func equalPacksAreMergedAndOldOnesStay(format: ObjectFormat) throws {
        let bench = try Bench(format: format)
        for _ in 0..<5 { try bench.push(bench.onePush()) }
        let before = try bench.published()
        let objects = try bench.objects()
        let listed = try bench.check()
        let keys = Set(bench.memory.keys)

        let outcome = try bench.compact()
        let after = try bench.published()
        guard case .compacted(let result) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(result.packsBefore == 5 && result.packsAfter == 1)
        #expect(result.digest == after.digest)
        #expect(result.objects == objects.count)
        #expect(after.manifest.packs.count == 1)
        #expect(after.manifest.parent == before.digest)
        var expected = before.manifest
        expected.packs = after.manifest.packs
        expected.parent = before.digest
        #expect(after.manifest == expected, "nothing else changed")
        #expect(keys.isSubset(of: bench.memory.keys))
        #expect(try bench.objects() == objects)
        #expect(try bench.check() == listed)
        #expect(try bench.leftovers().isEmpty)
        // A reader of the earlier pointer continues with the earlier packs.
        let old = try bench.hydration().readWorkspace(before, log: Bench.log, limits: .none)
        try Command.runGit(["fsck", "--full", "--strict"], in: old.path)
        #expect(try bench.push(bench.onePush()).isPublished, "and pushes go on")
        _ = try bench.check()
    }

    @Test func farLargerPackStays() throws {
        let bench = try Bench()
        let large = try bench.pushHistory(commits: 40)
        for _ in 0..<4 { try bench.push(bench.onePush()) }
        let objects = try bench.objects()
        #expect(try bench.survey() == .fold(packs: 4, of: 5))
        guard case .compacted(let result) = try bench.compact() else {
            Issue.record("not compacted")
            return
        }
        #expect(result.packsAfter == 2 && result.objects == 12)
        #expect(try bench.published().manifest.packs.contains(large))
        #expect(try bench.objects() == objects)
        _ = try bench.check()
        #expect(try bench.survey() == .nothing(packs: 2))

        guard case .compacted(let all) = try bench.compact(.everything) else {
            Issue.record("not compacted")
            return
        }
        #expect(all.packsAfter == 1 && all.objects == objects.count)
        #expect(try bench.objects() == objects)
    }

    @Test func unreachableObjectsAreKept() throws {
        let bench = try Bench()
        let commit = try bench.source.commit("one")
        let blob = try bench.source.run(["rev-parse", "\(commit):file"]).line
        let tag = try bench.source.tag("b", of: blob)
        let nested = try bench.source.tag("n", of: tag)
        let tree = try bench.source.run(["rev-parse", "\(commit)^{tree}"]).line
        let names = [
            ("refs/heads/main", commit), ("refs/tags/b", tag), ("refs/tags/n", nested),
            ("refs/tags/blob", blob), ("refs/tags/tree", tree),
        ]
        try bench.push(
            PushRequest(
                commands: names.map { (bench.zero, $0.1, $0.0) },
                pack: try bench.source.pack([nested, commit])))
        // A branch that is deleted again: its objects are no longer reachable.
        let gone = try bench.onePush(to: "refs/heads/gone")
        try bench.push(gone)
        let id = gone.commands[0].new
        try bench.push(PushRequest(commands: [(id, bench.zero, "refs/heads/gone")]))
        // Unreachable objects, among them a commit whose parent does not exist.
        let stray = try bench.source.commit("stray", parent: bench.source.commit("never sent"))
        let ids = try bench.source.run(["rev-list", "--objects", "\(stray)^!"]).line
            .split(separator: "\n").map { "\($0.prefix(40))\n" }
        try bench.publish(packs: [
            try bench.source.run(
                ["pack-objects", "--stdout", "-q"], input: Array(ids.joined().utf8)
            ).output
        ])
        let objects = try bench.objects()
        #expect(objects.contains(id) && objects.contains(stray))
        let listed = try bench.check()

        guard case .compacted = try bench.compact(.everything) else {
            Issue.record("not compacted")
            return
        }
        #expect(try bench.published().manifest.packs.count == 1)
        #expect(try bench.objects() == objects)
        #expect(try bench.check() == listed)
    }

    @Test func duplicateObjectsAreStoredOnce() throws {
        let bench = try Bench()
        try bench.push(bench.onePush("same"))
        for number in 0..<4 {
            let commit = try bench.source.commit("same")
            let other = try bench.source.commit("\(number)", parent: commit)
            try bench.push(
                PushRequest(
                    commands: [(bench.zero, other, "refs/heads/b\(number)")],
                    pack: try bench.source.pack([other])))
        }
        let objects = try bench.objects()
        guard case .compacted(let result) = try bench.compact(.everything) else {
            Issue.record("not compacted")
            return
        }
        #expect(result.objects == objects.count)
        #expect(try bench.objects() == objects)
        _ = try bench.check()
    }

    @Test func packsInProgressionAreLeftAlone() throws {
        let bench = try Bench()
        #expect(try bench.compact() == .nothingToDo(packs: 0))
        try bench.push(bench.onePush())
        #expect(try bench.compact() == .nothingToDo(packs: 1))
        #expect(try bench.compact(.everything) == .nothingToDo(packs: 1))
        bench.memory.resetCounts()
        #expect(try bench.compact() == .nothingToDo(packs: 1))
        #expect(bench.memory.counts == .init(gets: 3), "pointer, manifest, index")
        #expect(try bench.survey() == .nothing(packs: 1))
    }

    @Test func missingRepositoryIsNotCompacted() throws {
        let bench = try Bench()
        let other = try #require(RepositoryName("no/body"))
        let compaction = Compaction(of: other, with: try bench.hydration())
        #expect(try compaction.run(log: Bench.log) == .notThere)
        #expect(try compaction.survey() == .notThere)
        try bench.publishTombstone()
        #expect(try bench.compact() == .notThere)
    }

    @Test func olderManifestIsCompletedWithPeeledRefs() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let head = try #require(try bench.published().manifest.refs.first?.value.hex)
        let tag = try bench.source.tag("v1", of: head)
        try bench.push(
            PushRequest(
                commands: [(bench.zero, tag, "refs/tags/v1")],
                pack: try bench.source.pack([tag], without: [head])))
        let peeled = try #require(try bench.published().manifest.peeled)
        let bytes = String(
            decoding: try bench.published().manifest.canonicalBytes(), as: UTF8.self)
        let cut = try #require(bytes.firstRange(of: ",\"peeled\""))
        let older = Array((bytes[..<cut.lowerBound] + "}").utf8)
        bench.memory.plant(older, at: .manifest(Digest(of: older)))
        bench.memory.plant(Digest(of: older).bytes, at: .pointer(of: bench.repository))
        #expect(try bench.published().manifest.peeled == nil)
        let listed = try bench.check()
        guard case .compacted = try bench.compact(.everything) else {
            Issue.record("not compacted")
            return
        }
        #expect(try bench.published().manifest.peeled == peeled)
        #expect(try bench.check() == listed)
    }

    @Test func hundredsOfPacksAreCompacted() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        try bench.publish(
            packs: try (0..<80).map {
                try bench.source.indexedPack([try bench.source.commit("\($0)")]).pack
            })
        guard case .compacted(let result) = try bench.compact() else {
            Issue.record("not compacted")
            return
        }
        #expect(result.packsBefore == 81 && result.packsAfter == 1)
        #expect(result.objects == 3 * 81)
        _ = try bench.check()
    }

    // MARK: Damage

    @Test func damagedPackPublishesNothing() throws {
        let bench = try Bench()
        for _ in 0..<3 { try bench.push(bench.onePush()) }
        let before = try bench.published().digest
        let pack = try #require(try bench.published().manifest.packs.first)
        let good = try #require(bench.memory.bytes(at: .pack(pack)))
        var flipped = good
        flipped[good.count / 2] ^= 1
        for bytes in [nil, [], flipped] as [[UInt8]?] {
            bench.memory.plant(bytes, at: .pack(pack))
            #expect(throws: StoreError.self) { try bench.compact() }
            #expect(try bench.published().digest == before)
            #expect(try bench.leftovers().isEmpty)
        }
    }

    @Test func damagedIndexIsRebuiltFirst() throws {
        let bench = try Bench()
        for _ in 0..<3 { try bench.push(bench.onePush()) }
        let pack = try #require(try bench.published().manifest.packs.first)
        bench.memory.plant([1, 2, 3], at: .packIndex(pack))
        #expect(try bench.survey() == .unknown)
        guard case .compacted = try bench.compact() else {
            Issue.record("not compacted")
            return
        }
        _ = try bench.check()
    }

    @Test func failingGitPublishesNothing() throws {
        let bench = try Bench()
        for _ in 0..<3 { try bench.push(bench.onePush()) }
        let before = try bench.published().digest
        let scripts = [
            "exit 3", "kill -9 $$",
            // All packs but one.
            "sed 1d | \(bench.git.path) \"$@\"",
        ]
        for script in scripts {
            let hydration = try bench.hydration(packingWith: script)
            #expect(throws: (any Error).self, "\(script)") {
                try Compaction(of: bench.repository, with: hydration).run(log: Bench.log)
            }
            #expect(try bench.published().digest == before)
            #expect(try bench.leftovers().isEmpty)
        }
    }

    @Test func comparisonFindsMissingAndAdditionalObjects() throws {
        let bench = try Bench()
        let scratch = try TemporaryDirectory()
        let one = try bench.source.indexedPack([try bench.source.commit("one")])
        let two = try bench.source.indexedPack([try bench.source.commit("two")])
        let both = try bench.source.indexedPack([
            try bench.source.commit("one"), try bench.source.commit("two"),
        ])
        for (name, index) in [("1", one.index), ("2", two.index), ("12", both.index)] {
            try Files.write(index, to: "\(scratch.path)/\(name)")
        }
        try Files.write([], to: scratch.path + "/empty")
        let fold = Fold(
            git: bench.git, cancellation: Cancellation(), format: .sha1,
            state: bench.state)
        func compare(_ result: String, _ sources: String...) throws -> Int {
            let directory = scratch.path
            return try fold.compare(
                "\(directory)/\(result)", with: sources.map { "\(directory)/\($0)" })
        }
        #expect(try compare("12", "1", "2") == 6)
        #expect(try compare("12", "12", "1") == 6)
        #expect(throws: Fold.Mismatch.self) { try compare("1", "1", "2") }
        #expect(throws: Fold.Mismatch.self) { try compare("12", "2") }
        #expect(throws: Fold.Mismatch.self) { try compare("empty", "2") }
    }

    // MARK: Stopping

    @Test func cancellationEndsAtOnceAndPublishesNothing() throws {
        let bench = try Bench()
        for _ in 0..<3 { try bench.push(bench.onePush()) }
        let before = try bench.published().digest
        let cancellation = Cancellation()
        let scratch = try TemporaryDirectory()
        let hydration = try bench.hydration(packingWith: ": >\(scratch.path)/runs; sleep 600")
        let run = Background<Bool> {
            do {
                _ = try Compaction(
                    of: bench.repository, with: hydration, cancellation: cancellation
                ).run(log: Bench.log)
                return false
            } catch is Cancellation.Cancelled {
                return true
            }
        }
        try wait(for: "git to run") { try Files.size(of: scratch.path + "/runs") != nil }
        cancellation.cancel()
        #expect(try run.value())
        #expect(throws: Cancellation.Cancelled.self) {
            try Compaction(of: bench.repository, with: hydration, cancellation: cancellation)
                .run(log: Bench.log)
        }
        #expect(try bench.published().digest == before)
        #expect(try bench.leftovers().isEmpty)
    }
}
