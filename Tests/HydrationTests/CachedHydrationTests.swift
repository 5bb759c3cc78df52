import Bytes
import GitProtocol
import Glibc
import Logging
import ObjectStore
import Posix
import Synchronization
import TestBench
import TestSupport
import Testing

@testable import Cache
@testable import Git
@testable import Hydration
@testable import Repository

/// A store that does something before each GET into a file.
struct WatchedStore: ObjectStore {
    let inner: any ObjectStore
    let before: @Sendable (ObjectKey, String) throws(StoreError) -> Void

    var location: String { inner.location }
    var retryPolicy: RetryPolicy { inner.retryPolicy }
    var checksBodies: Bool { inner.checksBodies }

    func perform(_ requests: [StoreRequest]) -> [Result<StoreAnswer, StoreError>] {
        requests.map { request in
            if case .get(let key, .file(let path)) = request {
                do throws(StoreError) { try before(key, path) } catch { return .failure(error) }
            }
            return inner.perform([request])[0]
        }
    }

    func list(
        prefix: String, startingAfter: String?
    ) throws(StoreError) -> [ListedObject] {
        try inner.list(prefix: prefix, startingAfter: startingAfter)
    }
}

/// Hydrating through the cache.
@Suite struct CachedHydrationTests {
    /// A bench with two packs published, which nothing is kept of.
    func filled(
        size: Int64 = 1 << 30, around: (MemoryStore) -> any ObjectStore = { $0 }
    ) throws -> Bench {
        let bench = try Bench(cacheSize: size, around: around)
        try bench.push(bench.onePush(Hex.random(bytes: 3000)))
        try bench.push(bench.onePush(Hex.random(bytes: 3000)))
        clear(bench)
        bench.memory.resetCounts()
        return bench
    }

    func clear(_ bench: Bench) {
        for name in ["packs", "manifests", "cache-size"] {
            Files.removeTree(bench.state.path + "/" + name)
        }
    }

    /// The names of what is kept of packs.
    func kept(_ bench: Bench) throws -> [String] {
        try Files.names(in: bench.state.path + "/packs").filter { $0 != "incoming" }
    }

    func expectWhole(_ workspace: borrowing HydratedWorkspace) throws {
        try Command.runGit(["fsck", "--full", "--strict"], in: workspace.path)
    }

    /// Hydrates what is published, after two reads past the cache that find out what that is.
    func hydrate(_ bench: Bench, _ hydration: Hydration? = nil) throws {
        let workspace = try (hydration ?? bench.hydration()).readWorkspace(
            try bench.published(), log: Bench.log, limits: .none)
        try expectWhole(workspace)
    }

    /// The requests to the store.
    func requests(_ bench: Bench, _ body: () throws -> Void) rethrows -> Int {
        bench.memory.resetCounts()
        try body()
        return bench.memory.counts.gets
    }

    @Test func packsAreDownloadedOnceForAllProcesses() throws {
        let bench = try filled()
        let snapshot = try bench.published()
        let hydration = try bench.hydration()
        func hydrate(_ hydration: Hydration) throws {
            try expectWhole(hydration.readWorkspace(snapshot, log: Bench.log, limits: .none))
        }
        #expect(try requests(bench) { try hydrate(hydration) } == 4)
        #expect(try requests(bench) { try hydrate(hydration) } == 0)
        #expect(try requests(bench) { try hydrate(bench.hydration()) } == 0)
        #expect(try kept(bench).count == 4)
        #expect(try Files.names(in: bench.state.path + "/packs/incoming").isEmpty)
        #expect(try bench.leftovers().isEmpty)
    }

    @Test func cacheClearedDuringUseIsFilledAgain() throws {
        let bench = try filled()
        let hydration = try bench.hydration()
        try hydrate(bench, hydration)
        Files.removeTree(bench.state.path + "/packs")
        Files.removeTree(bench.state.path + "/manifests")
        try hydrate(bench, hydration)
        #expect(try kept(bench).count == 4)
    }

    @Test func gitLeavesTheCachesFilesUnchanged() throws {
        let bench = try filled()
        try hydrate(bench)
        let before = try kept(bench).sorted().map {
            Digest(of: try Files.read(bench.state.path + "/packs/" + $0))
        }
        let pack = try #require(try bench.published().manifest.packs.first)
        let workspace = try bench.hydration().readWorkspace(
            bench.published(), log: Bench.log, limits: .none)
        var (here, there) = (stat(), stat())
        #expect(stat("\(workspace.packDirectory)/pack-\(pack.hex).pack", &here) == 0)
        #expect(stat("\(bench.state.path)/packs/\(pack.hex).pack", &there) == 0)
        #expect(here.st_ino == there.st_ino)
        for command in [
            ["repack", "-a", "-d", "-q"], ["gc", "-q", "--prune=now"],
            ["update-ref", "-d", "refs/heads/main"], ["prune-packed"],
        ] { try Command.runGit(command, in: workspace.path) }
        let after = try kept(bench).sorted().map {
            Digest(of: try Files.read(bench.state.path + "/packs/" + $0))
        }
        #expect(before == after)
    }

    @Test func publishedPushIsCachedForTheNextRequest() throws {
        let bench = try filled()
        let hydration = try bench.hydration()
        for _ in 0..<3 {
            let push = try bench.onePush()
            #expect(try bench.push(push).isPublished)
            let asked = try requests(bench) {
                guard
                    case .live(let snapshot) = try hydration.manifests.resolve(bench.repository)
                else { throw TestFailure("not live") }
                try expectWhole(hydration.readWorkspace(snapshot, log: Bench.log, limits: .none))
                #expect(snapshot.manifest.refs[.main]?.hex == push.commands[0].new)
            }
            // Bench publishes past the manifest cache: 1 is the pointer, 1 the new manifest.
            #expect(asked == 2)
        }
    }

    @Test func unpublishedPushCachesNothing() throws {
        let bench = try filled()
        try hydrate(bench)
        let before = try kept(bench).sorted()
        let faulty = FaultyStore(
            wrapping: bench.memory, [FaultRule(.denied, keys: { $0.path.hasSuffix("pointer") })])
        let push = try bench.onePush()
        #expect(throws: StoreError.self) { try bench.push(push, to: faulty) }
        #expect(try kept(bench).sorted() == before)
    }

    @Test func sizeZeroCachesNothing() throws {
        let bench = try filled(size: 0)
        let snapshot = try bench.published()
        for _ in 0..<2 {
            #expect(
                try requests(bench) {
                    _ = try bench.hydration().readWorkspace(snapshot, log: Bench.log, limits: .none)
                } == 4)
        }
        #expect(try Files.names(in: bench.state.path) == ["workspaces"])
    }

    @Test func cacheSmallerThanAPackServesIt() throws {
        let bench = try filled(size: 100)
        for _ in 0..<2 { try hydrate(bench) }
        #expect(try kept(bench).isEmpty)
        #expect(try Files.names(in: bench.state.path + "/packs/incoming").isEmpty)
    }

    @Test func evictedPackStaysInARunningWorkspace() throws {
        let bench = try filled()
        let hydration = try bench.hydration()
        let workspace = try hydration.readWorkspace(
            bench.published(), log: Bench.log, limits: .none)
        hydration.cache?.space.shrink(to: .nothing)
        #expect(try kept(bench).isEmpty)
        try expectWhole(workspace)
        try hydrate(bench, hydration)
    }

    @Test func fileEvictedBetweenTwoLooksIsDownloadedAgain() throws {
        let bench = try filled()
        try hydrate(bench)
        let evicting = FileLink { source, target in
            if source.hasSuffix(".pack"), !source.contains("incoming") { unlink(source) }
            return FileLink.system.hardLink(source, target)
        }
        #expect(
            try requests(bench) { try hydrate(bench, bench.hydration(files: evicting)) } == 6)
        try hydrate(bench)
    }

    @Test func concurrentRequestsDownloadEachPackOnce() throws {
        let arrived = Gate()
        let gate = Gate()
        let bench = try filled { memory in
            WatchedStore(inner: memory) { _, _ in
                arrived.open()
                gate.pass()
            }
        }
        let snapshot = try bench.published()
        bench.memory.resetCounts()
        // As many processes, as far as the disk knows: locks are each thread's own.
        let first = Background {
            try self.expectWhole(
                bench.hydration().readWorkspace(snapshot, log: Bench.log, limits: .none))
        }
        arrived.pass()
        let others = (0..<7).map { _ in
            Background {
                try self.expectWhole(
                    bench.hydration().readWorkspace(snapshot, log: Bench.log, limits: .none))
            }
        }
        gate.open()
        try first.value()
        for other in others { try other.value() }
        #expect(bench.memory.counts.gets == 4)
    }

    @Test func requestsForManyPacksDoNotDeadlock() throws {
        let bench = try Bench(cacheSize: 1 << 30)
        for number in 0..<6 { try bench.push(bench.onePush(to: "refs/heads/b\(number)")) }
        let whole = try bench.published()
        for _ in 0..<5 {
            clear(bench)
            _ = try concurrently(8) { number in
                var manifest = whole.manifest
                manifest.refs = [:]
                manifest.packs = Set(manifest.packs.shuffled().prefix(1 + number % 6))
                let snapshot = Snapshot(
                    repository: whole.repository, etag: whole.etag, digest: Digest(of: [1]),
                    manifest: manifest)
                _ = try bench.hydration().readWorkspace(snapshot, log: Bench.log, limits: .none)
            }
        }
    }

    @Test func downloadOfADyingProcessIsTakenOver() throws {
        let bench = try filled()
        let pack = try #require(try bench.published().manifest.packs.first)
        let incoming = bench.state.path + "/packs/incoming"
        try Files.makeDirectories(incoming)
        let holder = try LockHolder(of: "\(incoming)/\(pack.hex).lock")
        let snapshot = try bench.published()
        bench.memory.resetCounts()
        let waiting = Background {
            try self.expectWhole(
                bench.hydration().readWorkspace(snapshot, log: Bench.log, limits: .none))
        }
        // The other pack is fetched before anything is waited for.
        try wait(for: "the other pack") { bench.memory.counts.gets == 2 }
        #expect(!waiting.isDone)
        try holder.kill()
        try waiting.value()
        #expect(bench.memory.counts.gets == 4)
        #expect(try kept(bench).count == 4)
    }

    @Test func stalledDownloadIsNotWaitedForForever() throws {
        let bench = try filled()
        let pack = try #require(try bench.published().manifest.packs.first)
        let incoming = bench.state.path + "/packs/incoming"
        try Files.makeDirectories(incoming)
        let holder = try LockHolder(of: "\(incoming)/\(pack.hex).lock")
        try hydrate(bench, bench.hydration(patience: .milliseconds(50)))
        #expect(try kept(bench).count == 2)
        try holder.kill()
    }
}
