import Bytes
import GitProtocol
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Hydration
@testable import Maintenance
@testable import Push
@testable import Repository

/// Making a pack's bitmap and commit graph.
@Suite struct SidecarMakerTests {
    /// A scratch repository with one pack and what was made for it, for git to judge.
    private func place(
        _ bench: Bench, _ pack: Digest, in directory: String
    ) throws {
        try Command.runGit([
            "init", "-q", "--bare", "--object-format=\(bench.format.rawValue)", directory,
        ])
        let base = directory + "/objects/pack/pack-\(pack.hex)"
        for (key, path) in [
            (ObjectKey.pack(pack), base + ".pack"), (.packIndex(pack), base + ".idx"),
            (.packBitmap(pack), base + ".bitmap"),
            (.commitGraph(pack), directory + "/objects/info/commit-graph"),
        ] {
            try Files.write(try #require(bench.memory.bytes(at: key), "\(key)"), to: path)
        }
    }

    @Test(arguments: [ObjectFormat.sha1, .sha256])
    func gitUsesTheBitmapAndTheCommitGraph(format: ObjectFormat) throws {
        let bench = try Bench(format: format)
        try bench.pushHistory(commits: 300)
        try bench.pushHistory(commits: 200)
        guard case .compacted = try bench.compact() else {
            Issue.record("not compacted")
            return
        }
        let manifest = try bench.published().manifest
        let pack = try #require(manifest.packs.first)
        #expect(manifest.packs.count == 1)

        let scratch = try TemporaryDirectory()
        let path = scratch.path + "/one.git"
        try place(bench, pack, in: path)
        for tip in manifest.refs.values {
            let walked = try Command.runGit(
                ["rev-list", "--objects", "--count", tip.hex], in: path
            ).line
            let mapped = try Command.runGit(
                ["rev-list", "--objects", "--count", "--use-bitmap-index", tip.hex], in: path
            ).line
            #expect(walked == mapped)
            let tested = try Command.runGit(["rev-list", "--test-bitmap", tip.hex], in: path)
            #expect(tested.errors.contains("OK!"), "\(tested)")
        }
        let graph = try Command.runGit(["commit-graph", "verify"], in: path)
        #expect(!graph.errors.contains("error"), "\(graph)")
        // A clone uses the bitmap: git reports the reuse in its progress.
        let tips = manifest.refs.values.map { $0.hex + "\n" }.joined()
        let packed = try Command.runGit(
            ["pack-objects", "--revs", "--stdout", "--progress"], in: path,
            input: Array(tips.utf8))
        let count = try bench.objects().count
        #expect(packed.errors.contains("pack-reused \(count)"), "\(packed.errors)")
        #expect(try bench.leftovers().isEmpty)
    }

    @Test func singleLargePackGetsSidecarsOnceWithoutANewState() throws {
        let bench = try Bench()
        let pack = try bench.pushHistory(commits: 400)
        let before = try bench.published().digest
        #expect(try bench.survey() == .sidecars)
        #expect(try bench.compact() == .madeSidecars)
        #expect(try bench.published().digest == before)
        let scratch = try TemporaryDirectory()
        try place(bench, pack, in: scratch.path + "/one.git")
        #expect(try bench.survey() == .nothing(packs: 1))
        bench.memory.resetCounts()
        #expect(try bench.compact() == .nothingToDo(packs: 1))
        #expect(bench.memory.counts == .init(gets: 3, heads: 2))
    }

    @Test func remainingLargePackGetsSidecarsWhenOthersAreMerged() throws {
        let bench = try Bench()
        let large = try bench.pushHistory(commits: 400)
        let branch = try #require(try bench.published().manifest.refs.first)
        // The branch moves on, so that no ref names a commit of the large pack any more.
        for number in 0..<3 {
            let old = try #require(try bench.published().manifest.refs[branch.key]?.hex)
            let commit = try bench.source.commit("\(number)", parent: old)
            try bench.push(
                PushRequest(
                    commands: [(old, commit, branch.key.description)],
                    pack: try bench.source.pack([commit], without: [old])))
        }
        guard case .compacted(let result) = try bench.compact() else {
            Issue.record("not compacted")
            return
        }
        #expect(result.packsAfter == 2)
        let scratch = try TemporaryDirectory()
        let path = scratch.path + "/one.git"
        try place(bench, large, in: path)
        let tested = try Command.runGit(["rev-list", "--test-bitmap", branch.value.hex], in: path)
        #expect(tested.errors.contains("OK!"))
        let graph = try Command.runGit(["commit-graph", "verify"], in: path)
        #expect(!graph.errors.contains("error"), "\(graph)")
    }

    @Test func packThatIsNotClosedGetsNoSidecars() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let old = try #require(try bench.published().manifest.refs.first?.value.hex)
        try bench.pushHistory(commits: 400, from: old)
        let keys = Set(bench.memory.keys)
        #expect(try bench.compact() == .nothingToDo(packs: 2))
        for number in 0..<2 { try bench.push(bench.onePush(to: "refs/heads/\(number)")) }
        guard case .compacted(let result) = try bench.compact() else {
            Issue.record("not compacted")
            return
        }
        #expect(result.packsAfter == 2)
        let made = Set(bench.memory.keys).subtracting(keys)
        #expect(!made.contains { $0.hasSuffix(".bitmap") || $0.hasSuffix(".graph") })
        // All together they are.
        guard case .compacted = try bench.compact(.everything) else {
            Issue.record("not compacted")
            return
        }
        let pack = try #require(try bench.published().manifest.packs.first)
        #expect(bench.memory.bytes(at: .packBitmap(pack)) != nil)
    }

    @Test(arguments: [".bitmap", ".graph"])
    func storeThatRefusesSidecarsFailsNothing(suffix: String) throws {
        let bench = try Bench { memory in
            FaultyStore(
                wrapping: memory, [FaultRule(.denied, keys: { $0.path.hasSuffix(suffix) })])
        }
        try bench.pushHistory(commits: 200)
        try bench.pushHistory(commits: 200)
        guard case .compacted = try bench.compact() else {
            Issue.record("not compacted")
            return
        }
        _ = try bench.check()
        #expect(try bench.compact() == .nothingToDo(packs: 1), "and it is no reason to fail later")
    }

    @Test func smallPackGetsNoSidecars() throws {
        let bench = try Bench()
        for _ in 0..<3 { try bench.push(bench.onePush()) }
        guard case .compacted = try bench.compact() else {
            Issue.record("not compacted")
            return
        }
        #expect(!bench.memory.keys.contains { $0.hasSuffix(".bitmap") || $0.hasSuffix(".graph") })
    }

    @Test func tipsOutsideThePackAreSkipped() throws {
        let bench = try Bench()
        let scratch = try TemporaryDirectory()
        let commit = try bench.source.commit("one")
        let blob = try bench.source.run(["rev-parse", "\(commit):file"]).line
        let tag = try bench.source.tag("t", of: commit)
        let (pack, index) = try bench.source.indexedPack([tag, blob])
        try Files.write(pack, to: scratch.path + "/p.pack")
        try Files.write(index, to: scratch.path + "/p.idx")
        let maker = SidecarMaker(git: bench.git, state: bench.state)
        func isMade(_ tips: String...) throws -> Bool {
            let made = try maker.make(
                forPack: scratch.path + "/p", tips: tips.compactMap { ObjectID(Array($0.utf8)) },
                format: .sha1)
            return made != nil
        }
        #expect(try isMade(tag))
        #expect(try isMade(commit, String(repeating: "1", count: 40), blob))
        #expect(try !isMade(blob))
        #expect(try !isMade(String(repeating: "1", count: 40)))
        #expect(try !isMade())
        #expect(try bench.leftovers().isEmpty)
    }
}
