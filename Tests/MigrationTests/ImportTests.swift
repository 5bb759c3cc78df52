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

extension Bench {
    /// Imports the repository at a path, under the bench's name.
    @discardableResult
    func bring(
        _ path: String, head: String? = nil, accepting: [String] = [],
        to target: (any ObjectStore)? = nil
    ) throws -> Import.Outcome {
        let source = try ImportSource.open(path, git: git, state: state)
        return try Import(
            repository: repository, defaultBranch: head.flatMap { RefName($0) },
            accepting: accepting
        ).run(from: source, into: Manifests(target ?? store), git: git, state: state)
    }

    /// The refs that are published, as `git for-each-ref` lists them.
    func publishedRefs() throws -> String {
        try published().manifest.refs.sorted { $0.key < $1.key }
            .map { "\($0.value) \($0.key)" }.joined(separator: "\n")
    }
}

extension WorkTree {
    /// Adds commits to `main`, each with a file of its own.
    fileprivate func grow(by commits: Int) throws {
        let before = try attempt("rev-parse", "-q", "--verify", "main").line
        let stream = (1...commits).map { number in
            let content = Hex.random()
            let from = number == 1 && !before.isEmpty ? "from \(before)\n" : ""
            return """
                commit refs/heads/main
                committer T <t@example.org> \(1_700_000_000 + number) +0000
                data 2
                c
                \(from)M 100644 inline d\(number % 7)/\(content)
                data \(content.utf8.count)
                \(content)

                """
        }
        try git("fast-import", "--quiet", input: .bytes(Array(stream.joined().utf8)))
    }

    /// All refs, those of remotes included.
    var allRefs: String {
        get throws { try git("for-each-ref", "--format=%(objectname) %(refname)") }
    }
}

extension Import.Outcome {
    var isPublished: Bool { if case .published = self { true } else { false } }
    var packBytes: Int64? { if case .published(_, _, let bytes) = self { bytes } else { nil } }
}

/// Importing.
@Suite struct ImportTests {
    /// Refs of every kind.
    static func tree(format: String = "sha1") throws -> WorkTree {
        let tree = try WorkTree.make(format: format)
        for number in 1...5 { try tree.commit("file-\(number)") }
        try tree.git("tag", "light")
        try tree.git("tag", "-a", "-m", "one", "v1")
        try tree.git("tag", "-a", "-m", "two", "v2", "v1")
        try tree.git("tag", "-a", "-m", "tree", "of-a-tree", "main^{tree}")
        try tree.git("notes", "add", "-m", "a note")
        try tree.git("branch", "\u{e9}", "HEAD~2")
        try tree.git("branch", "e\u{301}", "HEAD~3")
        try tree.git("update-ref", "refs/remotes/origin/topic", "HEAD~1")
        try tree.git("update-ref", "refs/custom/deep/er", "main:file-1")
        try tree.git("gc", "-q")
        try tree.commit("loose")
        return tree
    }

    @Test(arguments: [ObjectFormat.sha1, .sha256])
    func largeWholePackGetsSidecars(format: ObjectFormat) throws {
        let bench = try Bench(format: format)
        let tree = try WorkTree.make(format: format.rawValue)
        try tree.grow(by: 400)
        try bench.bring(tree.path)
        let pack = try #require(try bench.published().manifest.packs.first)
        #expect(bench.memory.bytes(at: .packBitmap(pack)) != nil)
        #expect(bench.memory.bytes(at: .commitGraph(pack)) != nil)
        let workspace = try bench.hydration().readWorkspace(
            bench.published(), log: Bench.log, limits: .none)
        let names = try Files.names(in: workspace.packDirectory)
        #expect(names.contains("pack-\(pack.hex).bitmap"))
        #expect(try Files.names(in: workspace.path + "/objects/info").contains("commit-graph"))

        try tree.grow(by: 400)
        try bench.bring(tree.path)
        let packs = try bench.published().manifest.packs
        #expect(packs.count == 2)
        let added = try #require(packs.first { $0 != pack })
        #expect(bench.memory.bytes(at: .packBitmap(added)) == nil)
    }

    @Test(arguments: [
        ObjectFormat.sha1, .sha256,
    ])
    func importTakesFourWrites(format: ObjectFormat) throws {
        let bench = try Bench(format: format)
        let tree = try Self.tree(format: format.rawValue)
        try tree.git("switch", "-q", "-c", "trunk")
        let before = try bench.published()
        bench.memory.resetCounts()
        #expect(try bench.bring(tree.path).isPublished)
        #expect(bench.memory.counts == .init(gets: 2, puts: 4))
        let snapshot = try bench.published()
        #expect(try bench.publishedRefs() == tree.allRefs)
        #expect(snapshot.manifest.head.description == "refs/heads/trunk")
        #expect(snapshot.manifest.parent == before.digest)
        #expect(snapshot.manifest.packs.count == 1)
        // fsck, and what the tags peel to, as git itself has it.
        #expect(try bench.check() == tree.git("show-ref", "-d"))
        #expect(snapshot.manifest.peeled?.count == 3)
        #expect(try bench.leftovers().isEmpty)
    }

    @Test func importCreatesARepository() throws {
        let bench = try Bench()
        let tree = try Self.tree()
        bench.memory.plant(nil, at: .pointer(of: bench.repository))
        try bench.bring(tree.path)
        let first = try bench.published()
        #expect(first.manifest.parent == nil)
        let swap = Swap(of: bench.repository, from: first, in: Manifests(bench.memory))
        let gone = Manifest(kind: .tombstone, head: .main)
        guard case .won(let tombstone) = try swap.publish(gone) else {
            throw TestFailure("the swap is lost")
        }
        #expect(try bench.bring(tree.path).isPublished)
        #expect(try bench.published().manifest.parent == tombstone.digest)
        _ = try bench.check()
    }

    @Test func unchangedRepositoryWritesNothing() throws {
        let bench = try Bench()
        let tree = try Self.tree()
        try bench.bring(tree.path)
        let digest = try bench.published().digest
        bench.memory.resetCounts()
        guard case .upToDate = try bench.bring(tree.path) else {
            Issue.record("it was published again")
            return
        }
        #expect(bench.memory.counts == .init(gets: 2))
        #expect(try bench.published().digest == digest)
    }

    @Test func growthIsPackedAlone() throws {
        let bench = try Bench()
        let tree = try Self.tree()
        try bench.bring(tree.path)
        let packs = try bench.published().manifest.packs
        try tree.commit("more")
        bench.memory.resetCounts()
        #expect(try bench.bring(tree.path).isPublished)
        #expect(bench.memory.counts == .init(gets: 2, puts: 4))
        let added = try #require(
            try bench.published().manifest.packs.subtracting(packs).first)
        // Commit, tree, blob. The number stands at the head of a pack. gitformat-pack(5).
        let pack = try #require(bench.memory.bytes(at: .pack(added)))
        #expect(pack[8..<12] == [0, 0, 0, 3])
        #expect(try bench.publishedRefs() == tree.allRefs)
        _ = try bench.check()
    }

    @Test func movedAndDeletedRefsNeedNoPack() throws {
        let bench = try Bench()
        let tree = try Self.tree()
        try bench.bring(tree.path)
        try tree.git("reset", "-q", "--hard", "HEAD~3")
        try tree.git("tag", "-d", "v1", "v2")
        bench.memory.resetCounts()
        #expect(try bench.bring(tree.path).packBytes == nil)
        #expect(bench.memory.counts == .init(gets: 2, puts: 2))
        #expect(try bench.publishedRefs() == tree.allRefs)
        _ = try bench.check()
    }

    @Test func unrelatedStateReplacesAllPacks() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let tree = try Self.tree()
        try bench.bring(tree.path)
        #expect(try bench.published().manifest.packs.count == 1)
        #expect(try bench.publishedRefs() == tree.allRefs)
        _ = try bench.check()
    }

    @Test func emptyRepositoryIsPublished() throws {
        let bench = try Bench()
        let tree = try WorkTree.make(branch: "trunk")
        bench.memory.resetCounts()
        #expect(try bench.bring(tree.path).packBytes == nil)
        #expect(bench.memory.counts == .init(gets: 2, puts: 2))
        #expect(try bench.published().manifest.head.description == "refs/heads/trunk")
        try tree.commit("a")
        try tree.git("symbolic-ref", "HEAD", "refs/heads/unborn")
        try bench.bring(tree.path)
        #expect(try bench.published().manifest.head.description == "refs/heads/unborn")
        #expect(try bench.publishedRefs() == tree.allRefs)
    }

    @Test func otherObjectFormatIsRefused() throws {
        let bench = try Bench(format: .sha256)
        let tree = try Self.tree()
        let error = #expect(throws: ImportError.self) { try bench.bring(tree.path) }
        #expect("\(try #require(error))".contains("Import it under another name."))
        #expect(try bench.publishedRefs() == "")
    }

    // MARK: Other writers

    private static let pointer: @Sendable (ObjectKey) -> Bool = { $0.path.hasSuffix("/pointer") }

    @Test func concurrentPushIsSupersededAndItsObjectsKept() throws {
        let bench = try Bench()
        let tree = try Self.tree()
        try bench.bring(tree.path)
        try tree.commit("more")
        let push = try bench.onePush(to: "refs/heads/pushed")
        let store = FaultyStore(
            wrapping: bench.memory,
            [
                FaultRule(
                    .interleave { _ in #expect((try? bench.push(push).isPublished) == true) },
                    keys: Self.pointer, limit: 1)
            ])
        bench.memory.resetCounts()
        #expect(try bench.bring(tree.path, to: store).isPublished)
        let after = try bench.published()
        #expect(try bench.publishedRefs() == tree.allRefs)
        // The push was published: four writes. Ours: pack and index twice, found there the second
        // time, two manifests, two swaps.
        #expect(bench.memory.counts.puts == 4 + 8)
        #expect(after.manifest.packs.count == 3)
        let parent = try Manifests(bench.memory).manifest(
            try #require(after.manifest.parent), of: bench.repository)
        #expect(parent.refs.keys.contains { $0.description == "refs/heads/pushed" })
        _ = try bench.check()
    }

    @Test func concurrentCompactionCausesPackingAgain() throws {
        let bench = try Bench()
        let tree = try Self.tree()
        try bench.bring(tree.path)
        let whole = try bench.fold()
        try tree.commit("more")
        let store = FaultyStore(
            wrapping: bench.memory,
            [
                FaultRule(
                    .interleave { _ in #expect((try? bench.publish(packs: [whole])) != nil) },
                    keys: Self.pointer, limit: 1)
            ])
        #expect(try bench.bring(tree.path, to: store).isPublished)
        let packs = try bench.published().manifest.packs
        #expect(packs.contains(whole) && packs.count == 2)
        _ = try bench.check()
    }

    @Test func concurrentReplacementCausesPackingAll() throws {
        let bench = try Bench()
        let tree = try Self.tree()
        let other = try WorkTree.make()
        try other.commit("unrelated")
        try bench.bring(tree.path)
        try tree.commit("more")
        let store = FaultyStore(
            wrapping: bench.memory,
            [
                FaultRule(
                    .interleave { _ in #expect((try? bench.bring(other.path)) != nil) },
                    keys: Self.pointer, limit: 1)
            ])
        #expect(try bench.bring(tree.path, to: store).isPublished)
        #expect(try bench.publishedRefs() == tree.allRefs)
        #expect(try bench.published().manifest.packs.count == 1)
        _ = try bench.check()
    }

    @Test func importThatIsAlwaysOvertakenGivesUp() throws {
        let bench = try Bench()
        let tree = try Self.tree()
        let pushes = try (0..<5).map { try bench.onePush(to: "refs/heads/p\($0)") }
        let store = FaultyStore(
            wrapping: bench.memory,
            pushes.map { push in
                FaultRule(
                    .interleave { _ in #expect((try? bench.push(push).isPublished) == true) },
                    keys: Self.pointer, limit: 1)
            })
        let error = #expect(throws: ImportError.self) { try bench.bring(tree.path, to: store) }
        #expect("\(try #require(error))".contains("during each of 5 attempts"))
        #expect(try bench.published().manifest.refs.count == 5)
    }

    @Test func unknownOutcomeIsReportedAndASeemingLossIsAWin() throws {
        let bench = try Bench()
        let tree = try Self.tree()
        let deaf = FaultyStore(
            wrapping: bench.memory,
            [
                FaultRule(.dropReply, keys: Self.pointer),
                FaultRule(.dropRequest, on: [.get], keys: Self.pointer, sparing: 1),
            ])
        let error = #expect(throws: StoreError.self) { try bench.bring(tree.path, to: deaf) }
        #expect("\(try #require(error))".contains("The outcome of writing"))

        try tree.commit("more")
        let lossy = FaultyStore(
            wrapping: bench.memory, [FaultRule(.dropReply, keys: Self.pointer, limit: 1)])
        #expect(try bench.bring(tree.path, to: lossy).isPublished)
        #expect(try bench.publishedRefs() == tree.allRefs)
    }

    @Test func failingStoreLeavesThePublishedState() throws {
        for name in ["packs/", "manifests/", "repos/"] {
            let bench = try Bench()
            try bench.push(bench.onePush())
            let before = try bench.published().digest
            let tree = try Self.tree()
            let store = FaultyStore(
                wrapping: bench.memory,
                [FaultRule(.denied, keys: { $0.path.hasPrefix(name) })])
            #expect(throws: StoreError.self) { try bench.bring(tree.path, to: store) }
            #expect(try bench.published().digest == before)
            #expect(try bench.leftovers().isEmpty)
        }
    }
}

extension Bench {
    /// Stores all that is published in one pack.
    fileprivate func fold() throws -> Digest {
        let body = ObjectBody.bytes(try whole())
        try memory.write([.pack(body)])
        return body.digest
    }

    /// Publishes the same refs with other packs.
    fileprivate func publish(packs: Set<Digest>) throws {
        let snapshot = try published()
        var manifest = snapshot.manifest
        manifest.packs = packs
        _ = try Swap(of: repository, from: snapshot, in: Manifests(memory)).publish(manifest)
    }
}
