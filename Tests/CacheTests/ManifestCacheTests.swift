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
@testable import Push
@testable import Repository

/// Manifests that are kept.
@Suite(.tags(.slow)) struct ManifestCacheTests {
    private func directory(_ bench: Bench) -> String { bench.state.path + "/manifests" }

    private func resolve(_ bench: Bench, _ manifests: Manifests) throws -> Snapshot {
        guard case .live(let snapshot) = try manifests.resolve(bench.repository) else {
            throw TestFailure("not live")
        }
        return snapshot
    }

    @Test func laterProcessesReadNoManifestAgain() throws {
        let bench = try Bench(cacheSize: 1 << 20)
        let manifests = try bench.hydration().manifests
        let expected = try bench.published()
        bench.memory.resetCounts()
        #expect(try resolve(bench, manifests).manifest == expected.manifest)
        #expect(bench.memory.counts == .init(gets: 2))
        for manifests in try [manifests, bench.hydration().manifests] {
            bench.memory.resetCounts()
            #expect(try resolve(bench, manifests).manifest == expected.manifest)
            #expect(bench.memory.counts == .init(gets: 1))
        }
    }

    @Test func writtenManifestsAreCachedAndSupersededOnesDropped() throws {
        let bench = try Bench(cacheSize: 1 << 20)
        let manifests = try bench.hydration().manifests
        for _ in 0..<3 {
            let reception = try bench.receive(bench.onePush())
            #expect(try bench.settle(reception, to: manifests).isPublished)
            bench.memory.resetCounts()
            let snapshot = try resolve(bench, manifests)
            #expect(bench.memory.counts == .init(gets: 1))
            #expect(try snapshot.digest == bench.published().digest)
            #expect(try Files.names(in: directory(bench)) == [snapshot.digest.hex])
        }
    }

    @Test func damagedManifestsAreReadAgain() throws {
        let bench = try Bench(cacheSize: 1 << 20)
        let digest = try resolve(bench, bench.hydration().manifests).digest
        let path = directory(bench) + "/" + digest.hex
        let good = try Files.read(path)
        var flipped = good
        flipped[good.count / 2] ^= 1
        for bytes in [[], flipped, Array(good.dropLast()), good + [10]] as [[UInt8]] {
            try Files.write(bytes, to: path)
            #expect(try resolve(bench, bench.hydration().manifests).digest == digest)
            #expect(try Files.read(path) == good)
        }
        // A good manifest under its right name, and bytes that are not a manifest.
        let other = Array("{\"version\":3}".utf8)
        try Files.write(other, to: directory(bench) + "/" + Digest(of: other).hex)
        bench.memory.plant(other, at: .manifest(Digest(of: other)))
        bench.memory.plant(Digest(of: other).bytes, at: .pointer(of: bench.repository))
        for _ in 0..<2 {
            #expect(throws: RepositoryError.self) {
                try resolve(bench, bench.hydration().manifests)
            }
        }
    }

    @Test func memoryKeepsTheManifestsUsedLastWithinItsBound() throws {
        let scratch = try TemporaryDirectory()
        // Without a directory to keep them in, each read is seen.
        let space = CacheSpace(limit: 0, sizeFile: scratch.path + "/size", directories: [])
        let manifests = try (0..<5).map { number in
            let head = try #require(RefName("refs/heads/b\(number)"))
            return try Manifest(head: head).canonicalBytes()
        }
        let each = manifests[0].count
        let cache = ManifestCache(in: scratch.path, space: space, memoryLimit: each * 5 * 3)
        func reads(_ number: Int) throws -> Bool {
            var isRead = false
            _ = try cache.manifest(Digest(of: manifests[number])) {
                isRead = true
                return manifests[number]
            }
            return isRead
        }
        for number in 0..<3 { #expect(try reads(number)) }
        for number in 0..<3 { #expect(try !reads(number)) }
        #expect(try !reads(0))
        #expect(try reads(3))
        #expect(try !reads(0))
        #expect(try !reads(3))
        #expect(try reads(1))
        // The one used last stays, however large it is.
        let tiny = ManifestCache(in: scratch.path, space: space, memoryLimit: each)
        for isFirst in [true, false] {
            var isRead = false
            _ = try tiny.manifest(Digest(of: manifests[0])) {
                isRead = true
                return manifests[0]
            }
            #expect(isRead == isFirst)
        }
    }

    @Test func manifestsOnDiskAreEvictedLikePacks() throws {
        let bench = try Bench(cacheSize: 1 << 20)
        _ = try resolve(bench, bench.hydration().manifests)
        bench.memory.resetCounts()
        let hydration = try bench.hydration()
        hydration.cache?.space.shrink(to: .nothing)
        #expect(try Files.names(in: directory(bench)).isEmpty)
        _ = try resolve(bench, hydration.manifests)
        #expect(bench.memory.counts == .init(gets: 2))
    }

    @Test func packedRefsAreTheSameWithAndWithoutACache() throws {
        let bench = try Bench(cacheSize: 1 << 20)
        let commit = try bench.source.commit("one")
        let tag = try bench.source.tag("v1", of: commit)
        let push = PushRequest(
            commands: [
                (bench.zero, commit, "refs/heads/main"), (bench.zero, tag, "refs/tags/v1"),
            ],
            pack: try bench.source.pack([tag]))
        #expect(try bench.push(push).isPublished)
        let hydration = try bench.hydration()
        for _ in 0..<2 {
            let snapshot = try resolve(bench, hydration.manifests)
            let workspace = try hydration.readWorkspace(snapshot, log: Bench.log, limits: .none)
            #expect(
                try Files.read(workspace.path + "/packed-refs")
                    == PackedRefs(snapshot.manifest).bytes)
        }
    }

    @Test func thousandthPushCostsAsManyRequestsAsTheSecond() throws {
        let bench = try Bench(cacheSize: 1 << 30)
        let hydration = try bench.hydration()
        func requests(_ body: () throws -> Void) throws -> MemoryStore.Counts {
            bench.memory.resetCounts()
            try body()
            return bench.memory.counts
        }
        /// One push as the responder does it.
        func push() throws {
            let old = try bench.published().manifest.refs[.main]?.hex
            let commit = try bench.source.commit("c\(Hex.random())", parent: old)
            let push = PushRequest(
                commands: [(old ?? bench.zero, commit, "refs/heads/main")],
                pack: try bench.source.pack([commit], without: old.map { [$0] } ?? []))
            let snapshot = try resolve(bench, hydration.manifests)
            guard
                case .published = try bench.settle(
                    bench.receive(push, on: snapshot, through: hydration), to: hydration.manifests)
            else { throw TestFailure("not published") }
        }
        try push()
        let second = try requests(push)
        // Bench's own look at what is published is 2 of the reads.
        #expect(second == .init(gets: 3, puts: 4))

        // A thousand states, as pushes leave them: each adds a pack and supersedes the last.
        let last = try bench.published()
        var (manifest, digest) = (last.manifest, last.digest)
        for number in 0..<1000 {
            let pack = try SmallPack(blob: "blob \(number)")
            bench.memory.plant(pack.pack, at: .pack(pack.digest))
            bench.memory.plant(pack.index, at: .packIndex(pack.digest))
            manifest.packs.insert(pack.digest)
            manifest.parent = digest
            let bytes = try manifest.canonicalBytes()
            digest = Digest(of: bytes)
            bench.memory.plant(bytes, at: .manifest(digest))
        }
        bench.memory.plant(digest.bytes, at: .pointer(of: bench.repository))
        _ = try hydration.readWorkspace(
            resolve(bench, hydration.manifests), log: Bench.log, limits: .none)
        #expect(try requests(push) == second)
        #expect(try bench.published().manifest.packs.count == 1003)
    }
}
