import Bytes
import GitProtocol
import ObjectStore
import Posix
import Synchronization
import TestBench
import TestSupport
import Testing

@testable import Cache
@testable import Git
@testable import Repository

/// A manifest is read and parsed once, however many ask for it.
@Suite struct ManifestSharingTests {
    private let scratch: TemporaryDirectory

    init() throws {
        scratch = try TemporaryDirectory()
    }

    /// A cache that keeps nothing on the disk, unless there is room.
    private func cache(
        memoryLimit: Int = 128 << 20, disk: Int64 = 0,
        parsing: @escaping @Sendable ([UInt8]) throws -> Manifest
    ) -> ManifestCache {
        let space = CacheSpace(limit: disk, sizeFile: scratch.path + "/size", directories: [])
        return ManifestCache(
            in: scratch.path, space: space, memoryLimit: memoryLimit, parse: parsing)
    }

    /// The canonical bytes of a manifest with so many branches.
    private func manifest(refs count: Int, parent: Digest? = nil) -> [UInt8] {
        var json = "{\"version\":1,\"head\":\"refs/heads/main\",\"refs\":{"
        for number in 0..<count {
            if number > 0 { json += "," }
            json += "\"refs/heads/b\(1_000_000 + number)\":\""
            json += String(repeating: "a", count: 40) + "\""
        }
        json += "},\"packs\":[],\"parent\":"
        json += parent.map { "\"\($0)\"}" } ?? "null}"
        return Array(json.utf8)
    }

    // M2
    @Test func manifestIsParsedOnceForAllWhoAskAtOnce() throws {
        let bytes = manifest(refs: 200_001)
        let digest = Digest(of: bytes)
        let counter = Counter()
        let shared = Mutex<ManifestCache?>(nil)
        let cache = cache { bytes in
            // All others are there by now, and none of them parses.
            try wait(for: "seven to wait") { shared.withLock { $0?.waiting } == 7 }
            counter.increment()
            return try Manifest(parsing: bytes)
        }
        shared.withLock { $0 = cache }
        let memory = MemoryStore()
        let name = try #require(RepositoryName("acme/large"))
        memory.plant(bytes, at: .manifest(digest))
        memory.plant(digest.bytes, at: .pointer(of: name))
        let manifests = Manifests(memory, cache: cache)
        let counts = try concurrently(8) { _ in
            try manifests.resolve(name).latest?.manifest.refs.count
        }
        #expect(counts == Array(repeating: 200_001, count: 8))
        #expect(counter.value == 1)
        #expect(memory.counts == .init(gets: 9))
        // It is larger than all that is kept otherwise (five bytes for one), and kept all the same.
        _ = try manifests.resolve(name)
        #expect(counter.value == 1)
        #expect(memory.counts == .init(gets: 10))
    }

    // M2
    @Test func oversizedManifestStaysUntilAnotherOneComes() throws {
        let counter = Counter()
        let small = (0..<3).map { manifest(refs: 1, parent: Digest(of: [UInt8($0)])) }
        let large = (0..<2).map { manifest(refs: 50, parent: Digest(of: [UInt8($0)])) }
        let cache = cache(memoryLimit: small[0].count * 5 * 4) { bytes in
            counter.increment()
            return try Manifest(parsing: bytes)
        }
        func isParsed(_ bytes: [UInt8]) throws -> Bool {
            let before = counter.value
            _ = try cache.manifest(Digest(of: bytes)) { bytes }
            return counter.value > before
        }
        #expect(try isParsed(large[0]))
        for bytes in small { #expect(try isParsed(bytes)) }
        for bytes in small + [large[0]] { #expect(try !isParsed(bytes)) }
        #expect(try isParsed(large[1]))
        for bytes in small + [large[1]] { #expect(try !isParsed(bytes)) }
        #expect(try isParsed(large[0]))
    }

    // M2
    @Test func manifestOnDiskIsReadOnce() throws {
        let bytes = manifest(refs: 3)
        let digest = Digest(of: bytes)
        cache(disk: 1 << 20) { try Manifest(parsing: $0) }.keep(bytes, as: digest)
        let counter = Counter()
        let shared = Mutex<ManifestCache?>(nil)
        let later = cache(disk: 1 << 20) { bytes in
            try wait(for: "three to wait") { shared.withLock { $0?.waiting } == 3 }
            counter.increment()
            return try Manifest(parsing: bytes)
        }
        shared.withLock { $0 = later }
        _ = try concurrently(4) { _ in
            try later.manifest(digest) { throw TestFailure("read from the store") }
        }
        #expect(counter.value == 1)
    }

    // M2
    @Test func failureReachesThoseWhoWaitedAndNobodyLater() throws {
        let bytes = manifest(refs: 1)
        let digest = Digest(of: bytes)
        let cache = cache { try Manifest(parsing: $0) }
        let reads = Counter()
        let failures = try concurrently(4) { _ in
            do {
                _ = try cache.manifest(digest) {
                    try wait(for: "three to wait") { cache.waiting == 3 }
                    reads.increment()
                    throw StoreError.missing(.manifest(digest))
                }
                return false
            } catch {
                return true
            }
        }
        #expect(failures == [true, true, true, true])
        #expect(reads.value == 1)
        #expect(try cache.manifest(digest) { bytes }.refs.count == 1)
    }

    // M2
    @Test func parsingAtOnceIsBoundedInBytes() throws {
        let budget = ByteBudget(10)
        let running = Mutex((now: 0, most: 0))
        _ = try concurrently(16) { number in
            for round in 0..<20 {
                budget.waitForSome()
                let bytes = (number + round) % 5 == 0 ? 40 : 4
                budget.with(bytes) {
                    running.withLock { state in
                        state.now += bytes
                        state.most = max(state.most, state.now)
                        #expect(state.now <= 10 || state.now == bytes)
                    }
                    running.withLock { $0.now -= bytes }
                }
            }
        }
        #expect(running.withLock { $0.now } == 0)
        #expect(budget.peak == 40)
    }

    // M2
    @Test func packedRefsAreWrittenOnceForAllWhoAskAtOnce() throws {
        let bytes = manifest(refs: 20)
        let cache = cache { try Manifest(parsing: $0) }
        let digest = Digest(of: bytes)
        let manifest = try cache.manifest(digest) { bytes }
        let files = try concurrently(4) { _ in try cache.packedRefs(of: digest, manifest) }
        #expect(Set(files) == [PackedRefs(manifest).bytes])
    }
}

/// Counts in any thread.
private final class Counter: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }
    func increment() { count.withLock { $0 += 1 } }
}
