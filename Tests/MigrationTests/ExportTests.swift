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
@testable import Migration
@testable import Repository

/// Exporting.
@Suite struct ExportTests {
    /// A bench with a repository of every kind of ref, and a directory to export to.
    private struct Fixture {
        let bench: Bench
        let tree: WorkTree
        let scratch: TemporaryDirectory
        let path: String

        init(format: ObjectFormat = .sha1) throws {
            bench = try Bench(format: format)
            tree = try ImportTests.tree(format: format.rawValue)
            try bench.bring(tree.path)
            scratch = try TemporaryDirectory()
            path = scratch.path + "/owner/copy.git"
            bench.memory.resetCounts()
        }

        @discardableResult
        func export(
            from store: (any ObjectStore)? = nil, to path: String? = nil
        ) throws -> Export.Outcome {
            let hydration = Hydration(
                store: store ?? bench.memory, state: bench.state, git: bench.git, hook: "/dev/null")
            return try Export(of: bench.repository, by: hydration, log: Bench.log)
                .run(into: path ?? self.path)
        }

        @discardableResult
        func git(_ arguments: String..., at path: String? = nil) throws -> String {
            try Command.runGit(arguments, in: path ?? self.path).line
        }

        /// Publishes what the tree is now.
        func publish() throws { try bench.bring(tree.path) }

        /// Expects the copy to be the tree: refs, HEAD, and nothing missing.
        func expectEqual(sourceLocation: SourceLocation = #_sourceLocation) throws {
            let refs = try git("for-each-ref", "--format=%(objectname) %(refname)")
            #expect(try refs == tree.allRefs, sourceLocation: sourceLocation)
            #expect(
                try git("symbolic-ref", "HEAD") == tree.git("symbolic-ref", "HEAD"),
                sourceLocation: sourceLocation)
            try git("fsck", "--full", "--strict", "--no-dangling")
            #expect(try bench.leftovers().isEmpty, sourceLocation: sourceLocation)
        }

        /// Files that are not in a finished repository.
        func leftovers() throws -> [String] {
            try Files.names(in: path).filter {
                !["HEAD", "config", "objects", "packed-refs", "refs"]
                    .contains($0)
            }
                + Files.names(in: path + "/objects/pack").filter { !$0.hasPrefix("pack-") }
                + Files.names(in: Files.parent(of: path) ?? "").filter { $0 != "copy.git" }
        }
    }

    @Test(arguments: [ObjectFormat.sha1, .sha256])
    func exportCreatesABareRepository(format: ObjectFormat) throws {
        let fixture = try Fixture(format: format)
        #expect(try fixture.export() == .created(refs: 10, packs: 1))
        #expect(fixture.bench.memory.counts == .init(gets: 4))
        try fixture.expectEqual()
        #expect(try fixture.leftovers() == [])
        #expect(try fixture.git("config", "core.bare") == "true")
        // Its files are nobody else's, and everybody may read them.
        let packs = fixture.path + "/objects/pack"
        for name in try Files.names(in: packs) {
            var status = stat()
            #expect(stat("\(packs)/\(name)", &status) == 0)
            #expect(status.st_nlink == 1)
            #expect(status.st_mode & 0o777 == 0o444)
        }
        let clone = try WorkTree.clone(fixture.path, "-q", "--mirror")
        #expect(try clone.allRefs == fixture.tree.allRefs)
    }

    @Test func upToDateCopyReadsOnlyTheState() throws {
        let fixture = try Fixture()
        try fixture.export()
        fixture.bench.memory.resetCounts()
        #expect(try fixture.export() == .upToDate)
        #expect(fixture.bench.memory.counts == .init(gets: 2))
    }

    @Test func updateDownloadsWhatIsNew() throws {
        let fixture = try Fixture()
        try fixture.export()
        let tree = fixture.tree
        try tree.commit("more")
        try tree.git("tag", "-d", "v1")
        try tree.git("update-ref", "-d", "refs/notes/commits")
        try tree.git("switch", "-q", "-c", "trunk")
        try fixture.publish()
        fixture.bench.memory.resetCounts()
        #expect(try fixture.export() == .updated(refs: 9, packs: 1))
        #expect(fixture.bench.memory.counts == .init(gets: 4))
        try fixture.expectEqual()
        #expect(try fixture.leftovers() == [])
    }

    @Test func changedRefsOfTheCopyAreReset() throws {
        let fixture = try Fixture()
        try fixture.export()
        try fixture.git("update-ref", "refs/heads/main", "main~1")
        try fixture.git("update-ref", "refs/heads/extra", "main")
        try fixture.git("symbolic-ref", "refs/heads/alias", "refs/heads/main")
        try fixture.git("symbolic-ref", "refs/tags/light", "refs/heads/main")
        try fixture.git("update-ref", "--no-deref", "HEAD", "main")
        #expect(try fixture.export() == .updated(refs: 10, packs: 0))
        try fixture.expectEqual()

        // Right by chance, until the other one moves.
        try fixture.tree.git("branch", "twin")
        try fixture.publish()
        try fixture.git("symbolic-ref", "refs/heads/twin", "refs/heads/main")
        try fixture.export()
        try fixture.expectEqual()
        #expect(try fixture.git("for-each-ref", "--format=%(symref)").allSatisfy { $0 == "\n" })
    }

    @Test func branchBecomesADirectoryAndBack() throws {
        let fixture = try Fixture()
        try fixture.tree.git("branch", "a")
        try fixture.publish()
        try fixture.export()
        // Loose in the copy, as after a push to it.
        try fixture.git("update-ref", "refs/heads/a", "main~1")
        try fixture.tree.git("branch", "-D", "a")
        try fixture.tree.git("branch", "a/b")
        try fixture.publish()
        try fixture.export()
        try fixture.expectEqual()
        try fixture.git("update-ref", "refs/heads/a/b", "main~1")
        try fixture.tree.git("branch", "-D", "a/b")
        try fixture.tree.git("branch", "a")
        try fixture.publish()
        try fixture.export()
        try fixture.expectEqual()
    }

    @Test func mergedPacksLoseNothing() throws {
        let fixture = try Fixture()
        try fixture.export()
        try fixture.tree.commit("more")
        try fixture.publish()
        let snapshot = try fixture.bench.published()
        let body = ObjectBody.bytes(try fixture.bench.whole())
        var manifest = snapshot.manifest
        manifest.packs = [body.digest]
        // Without an index in the store: one is made.
        _ = try Swap(
            of: fixture.bench.repository, from: snapshot, in: Manifests(fixture.bench.memory)
        )
        .publish(manifest, with: [.pack(body)])
        #expect(try fixture.export() == .updated(refs: 10, packs: 1))
        try fixture.expectEqual()

        try fixture.git("gc", "-q", "--prune=now")
        #expect(try fixture.export() == .updated(refs: 10, packs: 1))
        try fixture.expectEqual()
    }

    @Test func packWithAWrongIndexIsDownloadedAgain() throws {
        let fixture = try Fixture()
        try fixture.export()
        let packs = fixture.path + "/objects/pack"
        for suffix in [".idx", ".pack"] {
            let name = try #require(try Files.names(in: packs).first { $0.hasSuffix(suffix) })
            let bytes = try Files.read("\(packs)/\(name)")
            chmod("\(packs)/\(name)", 0o600)
            try Files.write(Array(bytes.dropLast(5)), to: "\(packs)/\(name)")
            #expect(try fixture.export() == .updated(refs: 10, packs: 1), "\(suffix)")
            try fixture.expectEqual()
        }
    }

    @Test func emptyAndOlderStatesAreExported() throws {
        let fixture = try Fixture()
        let empty = try Bench()
        let path = fixture.scratch.path + "/empty.git"
        let hydration = try empty.hydration()
        #expect(
            try Export(of: empty.repository, by: hydration, log: Bench.log).run(into: path)
                == .created(refs: 0, packs: 0))
        #expect(
            try Export(of: empty.repository, by: hydration, log: Bench.log).run(into: path)
                == .upToDate)
        #expect(try fixture.git("symbolic-ref", "HEAD", at: path) == "refs/heads/main")

        let snapshot = try fixture.bench.published()
        let text = String(decoding: try snapshot.manifest.canonicalBytes(), as: UTF8.self)
        let cut = try #require(text.ranges(of: ",\"peeled\"").first)
        let old = Array((text[..<cut.lowerBound] + "}").utf8)
        fixture.bench.memory.plant(old, at: .manifest(Digest(of: old)))
        fixture.bench.memory.plant(
            Digest(of: old).bytes, at: .pointer(of: fixture.bench.repository))
        try fixture.export()
        try fixture.expectEqual()
    }

    // MARK: Refusals

    @Test func otherDirectoriesAreLeftAlone() throws {
        let fixture = try Fixture()
        let root = fixture.scratch.path
        try Files.write([1], to: root + "/file")
        try Files.makeDirectories(root + "/full")
        try Files.write([1], to: root + "/full/file")
        try fixture.git("init", "-q", "--bare", "--object-format=sha256", root + "/other", at: root)
        try fixture.git(
            "clone", "-q", "--bare", "--depth", "1", "file://\(fixture.tree.path)",
            root + "/shallow",
            at: root)
        for (path, words) in [
            (root + "/file", "is neither empty nor a bare repository"),
            (root + "/full", "is neither empty nor a bare repository"),
            (fixture.tree.path, "is neither empty nor a bare repository"),
            (fixture.tree.path + "/.git", "it has a work tree"),
            (root + "/other", "its object format is sha256, not sha1"),
            (root + "/shallow", "it is a shallow clone"),
        ] {
            let refs = try? fixture.git("for-each-ref", at: path)
            let error = #expect(throws: ExportError.self) { try fixture.export(to: path) }
            #expect("\(try #require(error))".contains(words), "\(path)")
            #expect((try? fixture.git("for-each-ref", at: path)) == refs)
        }
        #expect(try Files.names(in: root + "/full") == ["file"])

        fixture.bench.memory.plant(nil, at: .pointer(of: fixture.bench.repository))
        let error = #expect(throws: ExportError.self) { try fixture.export() }
        #expect("\(try #require(error))".contains("Repository 'owner/repo' does not exist in"))
        #expect(access(fixture.path, F_OK) != 0)
    }

    @Test func emptyDirectoryIsUsedAndOtherWritersAreRespected() throws {
        let fixture = try Fixture()
        try Files.makeDirectories(fixture.path)
        #expect(try fixture.export() == .created(refs: 10, packs: 1))
        try fixture.tree.commit("more")
        try fixture.publish()

        do {
            let other = try OwnedDescriptor.open(fixture.path, O_RDONLY)
            #expect(try Files.lock(other.raw, waiting: .never, fixture.path))
            let error = #expect(throws: ExportError.self) { try fixture.export() }
            #expect("\(try #require(error))".contains("Another export is writing to"))
        }
        let lock = fixture.path + "/packed-refs.lock"
        try Files.write([], to: lock)
        let error = #expect(throws: ExportError.self) { try fixture.export() }
        #expect("\(try #require(error))".contains("If no git runs there, remove the file."))
        #expect(try fixture.git("rev-parse", "main") == fixture.tree.git("rev-parse", "main~1"))
        unlink(lock)
        try fixture.export()
        try fixture.expectEqual()
        #expect(try fixture.leftovers() == [])
    }

    @Test func leftoversOfAnInterruptedExportAreRemoved() throws {
        let fixture = try Fixture()
        try fixture.export()
        let packed = fixture.path + "/packed-refs"
        try fixture.tree.commit("more")
        try fixture.publish()
        try Files.write([1], to: fixture.path + "/objects/pack/tmp_export_1")
        try Files.write([2], to: packed + ".export")
        #expect(link(packed + ".export", packed + ".lock") == 0)
        try fixture.export()
        try fixture.expectEqual()
        #expect(try fixture.leftovers() == [])

        // Cut off after its lock became the file.
        try fixture.tree.commit("and more")
        try fixture.publish()
        #expect(link(packed, packed + ".export") == 0)
        try fixture.export()
        try fixture.expectEqual()
        #expect(try fixture.leftovers() == [])
    }

    @Test func failingStoreLeavesConsistentRefs() throws {
        let fixture = try Fixture()
        try fixture.export()
        let before = try fixture.git("for-each-ref")
        try fixture.tree.commit("more")
        try fixture.publish()
        for fault in [Fault.hide, .denied] {
            let store = FaultyStore(
                wrapping: fixture.bench.memory,
                [FaultRule(fault, on: [.get], keys: { $0.path.hasPrefix("packs/") })])
            #expect(throws: StoreError.self) { try fixture.export(from: store) }
            #expect(try fixture.git("for-each-ref") == before)
            try fixture.git("fsck", "--full", "--strict")
        }
        try fixture.export()
        try fixture.expectEqual()
    }
}

extension Bench {
    /// All that is published, in one pack.
    func whole() throws -> [UInt8] {
        let workspace = try hydration().readWorkspace(try published(), log: Self.log, limits: .none)
        try Command.runGit(["repack", "-q", "-a", "-d"], in: workspace.path)
        let directory = workspace.packDirectory
        let name = try #require(try Files.names(in: directory).first { $0.hasSuffix(".pack") })
        return try Files.read("\(directory)/\(name)")
    }
}

/// Progress.
@Suite struct ProgressTests {
    @Test func bytesHaveAFittingUnit() {
        for (count, text) in [
            (0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (1_600_000, "1.5 MiB"),
            (5 << 30, "5.0 GiB"), (5 << 40, "5120.0 GiB"),
        ] as [(Int64, String)] {
            #expect(Progress.bytes(count) == text)
        }
    }
}
