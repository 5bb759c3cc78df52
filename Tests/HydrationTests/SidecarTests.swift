import Bytes
import GitProtocol
import Glibc
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Cache
@testable import Git
@testable import Hydration
@testable import Repository

/// A repository of one pack that is large enough for sidecars, and what git makes of it.
private struct LargePack {
    let bench: Bench
    let digest: Digest
    let bitmap: [UInt8]
    let graph: [UInt8]

    init(
        format: ObjectFormat = .sha1, cacheSize: Int64 = 1 << 30, commits: Int = 400,
        content: String = "file", around: (MemoryStore) -> any ObjectStore = { $0 }
    ) throws {
        bench = try Bench(format: format, cacheSize: cacheSize, around: around)
        let source = bench.source
        var stream: [UInt8] = []
        for number in 1...commits {
            let content = "\(content) \(number)\n"
            stream += Array(
                """
                commit refs/heads/main
                committer T <t@example.org> \(1_700_000_000 + number) +0000
                data 1
                c
                M 100644 inline d\(number % 9)/f\(number)
                data \(content.utf8.count)
                \(content)

                """.utf8)
        }
        try source.run(["fast-import", "--quiet"], input: stream)
        // In one pack, with the sidecars beside it.
        try source.run(["repack", "-a", "-d", "-q", "--write-bitmap-index"])
        try source.run(["commit-graph", "write", "--reachable", "--no-progress"])
        let directory = source.path + "/objects/pack/"
        func file(_ ending: String) throws -> [UInt8] {
            let names = try Files.names(in: directory)
            return try Files.read(directory + #require(names.first { $0.hasSuffix(ending) }))
        }
        let (pack, index) = try (file(".pack"), file(".idx"))
        bitmap = try file(".bitmap")
        graph = try Files.read(source.path + "/objects/info/commit-graph")
        digest = Digest(of: pack)
        bench.memory.plant(pack, at: .pack(digest))
        bench.memory.plant(index, at: .packIndex(digest))
        let tip = try source.run(["rev-parse", "main"]).line
        let base = try bench.published()
        var manifest = base.manifest
        manifest.refs[.main] = ObjectID(tip.utf8)
        manifest.packs = [digest]
        guard
            case .won = try Swap(of: bench.repository, from: base, in: Manifests(bench.memory))
                .publish(manifest)
        else { throw TestFailure("not won") }
        bench.memory.resetCounts()
    }

    func plantSidecars() {
        bench.memory.plant(bitmap, at: .packBitmap(digest))
        bench.memory.plant(graph, at: .commitGraph(digest))
    }

    /// The sidecars in a reader's workspace.
    func hydrate(_ body: (borrowing HydratedWorkspace) throws -> Void = { _ in }) throws -> [String]
    {
        let workspace = try bench.hydration().readWorkspace(
            bench.published(), log: Bench.log, limits: .none)
        try Command.runGit(["fsck", "--full"], in: workspace.path)
        try body(workspace)
        return PackSidecar.allCases.filter {
            access($0.path(of: digest, in: workspace.workspace), F_OK) == 0
        }.map { "\($0)" }
    }

    /// Hydrates, and expects so many requests (beyond the two that find out what is published)
    /// and so many sidecars.
    func expect(
        requests: Int, sidecars: Int, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        bench.memory.resetCounts()
        let found = try hydrate()
        #expect(bench.memory.counts.gets - 2 == requests, sourceLocation: sourceLocation)
        #expect(found.count == sidecars, sourceLocation: sourceLocation)
    }
}

/// A pack's sidecars.
@Suite struct SidecarTests {
    @Test(arguments: [ObjectFormat.sha1, .sha256])
    func sidecarsAreDownloadedOnceAndUsedByGit(format: ObjectFormat) throws {
        let large = try LargePack(format: format)
        large.plantSidecars()
        try large.expect(requests: 4, sidecars: 2)
        try large.expect(requests: 0, sidecars: 2)
        _ = try large.hydrate { workspace in
            try Command.runGit(["rev-list", "--test-bitmap", "main"], in: workspace.path)
            try Command.runGit(["commit-graph", "verify"], in: workspace.path)
            #expect(try Self.reused(workspace) > 1000)
        }
    }

    /// The objects that git takes from a pack as they are, which takes a bitmap, as it packs
    /// everything for a clone.
    private static func reused(_ workspace: borrowing HydratedWorkspace) throws -> Int {
        let run = try Command.runGit(
            ["pack-objects", "--revs", "--stdout", "--progress"], in: workspace.path,
            input: Array("main\n".utf8))
        let last = run.errors.split(separator: "\n").last { $0.contains("pack-reused") }
        let words = try #require(last).split { !$0.isLetter && !$0.isNumber && $0 != "-" }
        let place = try #require(words.firstIndex(of: "pack-reused"))
        return try #require(Int(words[place + 1]))
    }

    @Test func pushesAndSmallPacksReadNoSidecars() throws {
        let large = try LargePack()
        large.plantSidecars()
        let target = try large.bench.hydration().writeWorkspace(
            on: .published(large.bench.published()), log: Bench.log, limits: .none)
        // Pointer, manifest, pack and index.
        #expect(large.bench.memory.counts.gets == 4)
        for sidecar in PackSidecar.allCases {
            #expect(
                access(sidecar.path(of: large.digest, in: target.hydrated.workspace), F_OK) != 0)
        }
        let small = try LargePack(commits: 100)
        small.plantSidecars()
        try small.expect(requests: 2, sidecars: 0)
    }

    @Test func absentSidecarsAreLookedForHourly() throws {
        let large = try LargePack()
        try large.expect(requests: 4, sidecars: 0)
        large.plantSidecars()
        try large.expect(requests: 0, sidecars: 0)
        let marks = try Files.names(in: large.bench.state.path + "/packs")
            .filter { $0.contains(".no-") }
        #expect(marks.count == 2)
        for mark in marks {
            let then = timespec(tv_sec: time(nil) - 3700, tv_nsec: 0)
            utimensat(AT_FDCWD, large.bench.state.path + "/packs/" + mark, [then, then], 0)
        }
        try large.expect(requests: 2, sidecars: 2)
    }

    @Test func sidecarsAreUsedWithoutACache() throws {
        let large = try LargePack(cacheSize: 0)
        try large.expect(requests: 4, sidecars: 0)
        large.plantSidecars()
        for _ in 0..<2 {
            try large.expect(requests: 4, sidecars: 2)
        }
    }

    @Test func invalidSidecarsAreIgnored() throws {
        let other = try LargePack(content: "other")
        for cacheSize in [0, 1 << 30] as [Int64] {
            for number in 0..<7 {
                let large = try LargePack(cacheSize: cacheSize)
                func change(_ good: [UInt8], _ others: [UInt8], _ wrong: [UInt8]) -> [UInt8] {
                    var flipped = good
                    flipped[good.count / 2] ^= 1
                    let choices: [[UInt8]] = [
                        [], [1, 2, 3], Array(good.dropLast()), good + [0], flipped, others, wrong,
                    ]
                    return choices[number]
                }
                large.bench.memory.plant(
                    change(large.bitmap, other.bitmap, large.graph), at: .packBitmap(large.digest))
                large.bench.memory.plant(
                    change(large.graph, other.graph, large.bitmap), at: .commitGraph(large.digest))
                #expect(try large.hydrate().isEmpty, "\(number)")
            }
        }
    }

    @Test func commitGraphWithAForeignCommitIsIgnored() throws {
        let large = try LargePack()
        let scratch = try TemporaryDirectory()
        func isUsable(_ graph: [UInt8]) throws -> Bool {
            try Files.write(graph, to: scratch.path + "/graph")
            let index = try #require(large.bench.memory.bytes(at: .packIndex(large.digest)))
            try Files.write(index, to: scratch.path + "/idx")
            return try PackSidecar.commitGraph.isUsable(
                scratch.path + "/graph", forIndex: scratch.path + "/idx", format: .sha1)
        }
        /// With a right hash at its end.
        func sealed(_ graph: [UInt8]) -> [UInt8] {
            var hash = MessageDigest(.sha1)
            let body = Array(graph.dropLast(20))
            body.withUnsafeBytes { hash.update($0) }
            return body + hash.finish()
        }
        let graph = large.graph
        #expect(try isUsable(graph))
        #expect(try isUsable(sealed(graph)))
        // The first commit's id lies where the table of chunks says.
        let name = Array("OIDL".utf8)
        let entry = try #require(
            stride(from: 8, to: 200, by: 12).first { graph[$0..<$0 + 4].elementsEqual(name) })
        let ids = graph[entry + 4..<entry + 12].reduce(0) { $0 << 8 | Int($1) }
        for offset in [ids + 19, ids + 20 * 200 + 19, ids + 20 * 399 + 19] {
            var changed = graph
            changed[offset] ^= 1
            #expect(try !isUsable(sealed(changed)))
        }
        // One that says it stands on another graph, and tables that point out of the file.
        var based = graph
        based[7] = 1
        #expect(try !isUsable(sealed(based)))
        for value in [0x00, 0x7f, 0x80, 0xff] as [UInt8] {
            var wild = graph
            for offset in entry + 4..<entry + 12 { wild[offset] = value }
            #expect(try !isUsable(sealed(wild)))
        }
        for count in 0..<200 { #expect(try !isUsable(sealed(Array(graph.prefix(count) + [0])))) }
        // A graph that a newer push is not in is one all the same.
        #expect(try isUsable(graph))
    }

    @Test func unreadableSidecarsFailNoRequest() throws {
        for suffix in [".bitmap", ".graph"] {
            let large = try LargePack { memory in
                FaultyStore(
                    wrapping: memory, [FaultRule(.denied, keys: { $0.path.hasSuffix(suffix) })])
            }
            large.plantSidecars()
            _ = try large.hydrate()
        }
    }

    @Test func sidecarsAreDroppedWithTheirPack() throws {
        let large = try LargePack()
        large.plantSidecars()
        #expect(try large.hydrate().count == 2)
        let cache = try #require(large.bench.hydration().cache?.packs)
        cache.ageBeyondStart(large.digest)
        try large.expect(requests: 2, sidecars: 2)
        cache.drop(large.digest)
        #expect(
            try Files.names(in: large.bench.state.path + "/packs").allSatisfy {
                !$0.hasPrefix(large.digest.hex)
            })
    }

    // D3
    @Test func goodPackKeepsItsGoodSidecars() throws {
        let large = try LargePack()
        large.plantSidecars()
        let cache = try #require(large.bench.hydration().cache?.packs)
        let base = cache.base(of: large.digest)
        func files() throws -> [String: UInt] {
            let packs = large.bench.state.path + "/packs"
            return Dictionary(
                uniqueKeysWithValues: try Files.names(in: packs).map { name in
                    var status = stat()
                    #expect(lstat("\(packs)/\(name)", &status) == 0)
                    return (name, UInt(status.st_ino))
                })
        }
        let found = try large.hydrate { workspace in
            let before = try files()
            workspace.doubtPacks()
            #expect(try files() == before)
            #expect(access(base + ".bitmap", F_OK) == 0)
        }
        #expect(found.count == 2)
        try large.expect(requests: 0, sidecars: 2)

        Files.removeTree(cache.proofs)
        truncate(base + ".bitmap", 100)
        cache.prove([large.digest], .sha1)
        #expect(access(base + ".bitmap", F_OK) != 0)
        #expect(access(base + ".graph", F_OK) == 0)
        #expect(access(base + ".pack", F_OK) == 0)
    }

    @Test func sidecarsMadeHereAreCached() throws {
        let large = try LargePack()
        let hydration = try large.bench.hydration()
        let scratch = try TemporaryDirectory()
        func file(_ name: String, _ bytes: [UInt8]?) throws -> ObjectBody {
            let path = scratch.path + "/" + name
            try Files.write(try #require(bytes), to: path)
            return try .file(hashing: path)
        }
        hydration.keep(
            try file("pack", large.bench.memory.bytes(at: .pack(large.digest))),
            index: try file("idx", large.bench.memory.bytes(at: .packIndex(large.digest))),
            bitmap: try file("bitmap", large.bitmap), commitGraph: try file("graph", large.graph))
        try large.expect(requests: 0, sidecars: 2)
    }
}
