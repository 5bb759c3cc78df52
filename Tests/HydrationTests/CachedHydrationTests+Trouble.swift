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

/// Links that cannot be, other users, full disks, and what is damaged.
extension CachedHydrationTests {
    @Test func filesThatCannotBeLinkedAreCopied() throws {
        for code in [EXDEV, EPERM, EMLINK, EACCES] {
            let bench = try filled()
            let files = FileLink { _, _ in code }
            for _ in 0..<2 { try hydrate(bench, bench.hydration(files: files)) }
            #expect(try kept(bench).count == 4)
            #expect(
                try requests(bench) { try hydrate(bench, bench.hydration(files: files)) } == 2)
        }
    }

    @Test func cacheCanBeOnAnotherFileSystem() throws {
        let bench = try filled()
        let elsewhere = try TemporaryDirectory(in: "/dev/shm")
        #expect(symlink(elsewhere.path, bench.state.path + "/packs") == 0)
        try hydrate(bench)
        #expect(try requests(bench) { try hydrate(bench) } == 2)
        #expect(try bench.push(bench.onePush()).isPublished)
        #expect(try Files.names(in: elsewhere.path).count == 7)
    }

    @Test func requestsAreServedWithoutAUsableCache() throws {
        for obstacle in ["packs", "packs/incoming", "manifests", "cache-size"] {
            let bench = try filled()
            if obstacle.contains("/") { try Files.makeDirectories(bench.state.path + "/packs") }
            let path = bench.state.path + "/" + obstacle
            if obstacle == "cache-size" {
                try Files.makeDirectories(path)
            } else {
                try Files.write([], to: path)
            }
            for _ in 0..<2 { try hydrate(bench) }
            #expect(try bench.push(bench.onePush()).isPublished)
            try hydrate(bench)
        }
    }

    @Test(.enabled(if: getuid() == 0, "requires root, to act as another user"))
    func stateDirectoryOfAnotherUserIsServedFrom() throws {
        for mode in [0o444, 0o400] as [mode_t] {
            let bench = try filled()
            try hydrate(bench)
            let packs = bench.state.path + "/packs"
            for name in try kept(bench) { chmod("\(packs)/\(name)", mode) }
            // The directories are open to the other, the files are not its own. It was shared when the
            // process started: that is allowed, if asked for.
            chmod(bench.state.path, 0o777)
            let shared = Hydration(
                store: bench.store, cache: LocalCache(in: bench.state.path, size: bench.cacheSize),
                state: try StateDirectory(path: bench.state.path), git: bench.git, hook: "")
            for path in try [
                packs, packs + "/incoming", bench.state.path + "/manifests",
                bench.state.path + "/workspaces",
            ]
                + Files.names(in: bench.state.path + "/workspaces").map({
                    bench.state.path + "/workspaces/" + $0
                })
            { chmod(path, 0o777) }
            let scratch = try #require(Files.parent(of: bench.state.path))
            chmod(scratch, 0o755)
            try Account.open(scratch)
            let snapshot = try bench.published()
            bench.memory.resetCounts()
            // The user of this thread alone, for what concerns files.
            let found = try Background {
                try Self.becomeSomebodyElse()
                let directory = try shared.readWorkspace(snapshot, log: Bench.log, limits: .none)
                let names = try Files.names(in: directory.packDirectory)
                for name in names {
                    var status = stat()
                    #expect(stat("\(directory.packDirectory)/\(name)", &status) == 0)
                    #expect(status.st_uid == 65534)
                }
                return names.count
            }.value()
            #expect(found == 4)
            #expect(bench.memory.counts.gets == (mode == 0o444 ? 0 : 4))
        }
    }

    /// setfsuid(2), which Swift's Glibc does not have.
    private static func becomeSomebodyElse() throws {
        typealias Call = @convention(c) (uid_t) -> Int32
        let call = try #require(dlsym(dlopen(nil, RTLD_NOW), "setfsuid"))
        _ = unsafeBitCast(call, to: Call.self)(65534)
    }

    @Test func fullDiskTakesSpaceFromTheCache() throws {
        let state = Mutex("")
        // As a disk would say once there is more than 20 kB on it.
        let bench = try filled { memory in
            WatchedStore(inner: memory) { key, path throws(StoreError) in
                let packs = state.withLock { $0 } + "/packs"
                let used =
                    (try? Files.names(in: packs))?.reduce(0) {
                        $0 + ((try? Files.size(of: packs + "/" + $1)) ?? 0)
                    } ?? 0
                if used > 20_000 {
                    throw .local(.init(.get, key.path), SystemError("write", path, code: ENOSPC))
                }
            }
        }
        state.withLock { $0 = bench.state.path }
        try Files.makeDirectories(bench.state.path + "/packs")
        try Files.write(
            Array(repeating: 0, count: 50_000),
            to: "\(bench.state.path)/packs/\(Digest(of: [9]).hex).pack")
        try hydrate(bench)
        #expect(try kept(bench).count == 4)
    }

    @Test func fullDiskIsFreedOfLeftoversFirst() throws {
        let bench = try filled()
        let dead = bench.state.path + "/workspaces/live-2-dead"
        try Files.makeDirectories(dead + "/w")
        let isThere = try bench.hydration().makingRoom {
            let isThere = access(dead, F_OK) == 0
            if isThere {
                throw SystemError("write", dead, code: ENOSPC)
            }
            return isThere
        }
        #expect(!isThere)
        #expect(access(dead, F_OK) != 0)
    }

    @Test func diskThatStaysFullIsALocalErrorAndLeavesNothing() throws {
        let bench = try filled { memory in
            WatchedStore(inner: memory) { key, path throws(StoreError) in
                try? Files.write([1, 2, 3], to: path)
                throw .local(.init(.get, key.path), SystemError("write", path, code: ENOSPC))
            }
        }
        do {
            try hydrate(bench)
            Issue.record("there was room")
        } catch StoreError.local(_, let error) {
            #expect(error.code == ENOSPC)
        }
        #expect(try kept(bench).isEmpty)
        #expect(try Files.names(in: bench.state.path + "/packs/incoming").isEmpty)
        #expect(try bench.leftovers().isEmpty)
    }

    @Test func damageInTheStoreIsNotCached() throws {
        let bench = try filled()
        let pack = try #require(try bench.published().manifest.packs.first)
        var bytes = try #require(bench.memory.bytes(at: .pack(pack)))
        bytes[bytes.count / 2] ^= 1
        bench.memory.plant(bytes, at: .pack(pack))
        #expect(throws: StoreError.self) { try hydrate(bench) }
        #expect(try kept(bench).allSatisfy { !$0.hasPrefix(pack.hex) })
        #expect(try Files.names(in: bench.state.path + "/packs/incoming").isEmpty)
        #expect(try bench.leftovers().isEmpty)
    }

    @Test func damagedCachedPackIsDownloadedAgain() throws {
        let bench = try filled()
        try hydrate(bench)
        for (number, name) in try kept(bench).enumerated() {
            truncate(bench.state.path + "/packs/" + name, off_t(number * 30))
        }
        #expect(try requests(bench) { try hydrate(bench) } == 6)
        #expect(try requests(bench) { try hydrate(bench) } == 2)
    }

    @Test func rottenPackIsFoundByGitAndReplaced() throws {
        let bench = try filled()
        try hydrate(bench)
        for name in try kept(bench) where name.hasSuffix(".pack") {
            let path = bench.state.path + "/packs/" + name
            var bytes = try Files.read(path)
            for offset in 20..<bytes.count - 20 { bytes[offset] = 0x55 }
            try Files.write(bytes, to: path)
        }
        do {
            let hydration = try bench.hydration()
            let workspace = try hydration.readWorkspace(
                bench.published(), log: Bench.log, limits: .none)
            let log = try bench.git.output(
                GitRun(["log", "--stat"], to: "read", limits: .none), in: workspace.workspace)
            #expect(!log.ending.succeeded)
            workspace.doubtPacks()
        }
        try hydrate(bench)
        #expect(try requests(bench) { try hydrate(bench) } == 2)
    }

    @Test func rebuiltIndexIsCached() throws {
        let bench = try filled()
        let pack = try #require(try bench.published().manifest.packs.first)
        bench.memory.plant([1, 2, 3], at: .packIndex(pack))
        try hydrate(bench)
        #expect(try requests(bench) { try hydrate(bench) } == 2)
        #expect(try kept(bench).count == 4)
    }
}
