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
@testable import Repository

/// Ten thousand packs.
@Suite struct ManyPacksTests {
    private static let count = 10_000

    @Test func tenThousandPacksAreDownloadedOnceAndLinked() throws {
        let bench = try Bench(cacheSize: 1 << 30)
        try bench.push(bench.onePush())
        let published = try bench.published()
        var manifest = published.manifest
        for number in 1..<Self.count {
            let pack = try SmallPack(blob: "blob \(number)")
            bench.memory.plant(pack.pack, at: .pack(pack.digest))
            bench.memory.plant(pack.index, at: .packIndex(pack.digest))
            manifest.packs.insert(pack.digest)
        }
        let snapshot = Snapshot(
            repository: published.repository, etag: published.etag, digest: Digest(of: [1]),
            manifest: manifest)
        bench.memory.resetCounts()
        do {
            // The one that was pushed is here already.
            let workspace = try bench.hydration().readWorkspace(
                snapshot, log: Bench.log, limits: .none)
            #expect(try Files.names(in: workspace.packDirectory).count == 2 * Self.count)
        }
        #expect(bench.memory.counts == .init(gets: 2 * (Self.count - 1)))

        let workspace = try bench.hydration().readWorkspace(snapshot, log: Bench.log, limits: .none)
        #expect(bench.memory.counts == .init(gets: 2 * (Self.count - 1)))
        let counted = try Command.runGit(["count-objects", "-v"], in: workspace.path).line
        #expect(counted.contains("packs: \(Self.count)\n"))
        #expect(counted.contains("garbage: 0"))
        let blob = try Command.runGit(
            ["hash-object", "--stdin"], in: workspace.path,
            input: Array("blob \(Self.count / 2)".utf8)
        ).line
        #expect(
            try Command.runGit(["cat-file", "-p", blob], in: workspace.path).line
                == "blob \(Self.count / 2)")
    }
}
