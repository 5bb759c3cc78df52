import Bytes
import GitProtocol
import Glibc
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Cache

/// Packs of one's own, without a repository.
private struct Shelf {
    let scratch: TemporaryDirectory
    let source: GitSource
    let cache: PackCache
    let space: CacheSpace

    init(limit: Int64) throws {
        scratch = try TemporaryDirectory()
        source = try GitSource()
        try Files.makeDirectories(scratch.path + "/w")
        space = CacheSpace(
            limit: limit, sizeFile: scratch.path + "/cache-size",
            directories: [scratch.path + "/packs"])
        cache = PackCache(in: scratch.path, space: space)
    }

    /// Keeps a pack with about so many bytes.
    func keep(_ size: Int) throws -> Digest {
        // Hex digits take half their number in a pack.
        let content = Array(Hex.random(bytes: size).utf8)
        let blob = try source.run(["hash-object", "-w", "--stdin"], input: content).line
        let entry = "100644 blob \(blob)\tf\n"
        let tree = try source.run(["mktree"], input: Array(entry.utf8)).line
        let commit = try source.run(["commit-tree", tree, "-m", "x"]).line
        let (pack, index) = try source.indexedPack([commit])
        let base = scratch.path + "/" + Hex.random()
        try Files.write(pack, to: base + ".pack")
        try Files.write(index, to: base + ".idx")
        let digest = Digest(of: pack)
        cache.keep(digest, [(".pack", base + ".pack"), (".idx", base + ".idx")])
        return digest
    }

    func has(_ digest: Digest) -> Bool {
        access(cache.base(of: digest) + ".pack", F_OK) == 0
    }

    func take(_ digest: Digest) throws -> Int? {
        let target = scratch.path + "/w/" + Hex.random(bytes: 4)
        try Files.makeDirectories(target)
        return cache.take(digest, into: target, format: .sha1)
    }

    /// Makes it look as if a pack had been used last so many seconds ago.
    func age(_ digest: Digest, _ seconds: Int) {
        let then = timespec(tv_sec: time(nil) - seconds, tv_nsec: 0)
        utimensat(AT_FDCWD, cache.base(of: digest) + ".idx", [then, then], 0)
    }

    var bytes: Int64 { space.entries().reduce(0) { $0 + $1.bytes } }
}

/// The pack cache.
@Suite struct PackCacheTests {
    @Test func cachedPackIsReturnedReadOnlyWithItsObjectCount() throws {
        let shelf = try Shelf(limit: 1 << 20)
        let digest = try shelf.keep(100)
        #expect(try shelf.take(digest) == 3)
        for ending in [".pack", ".idx"] {
            var status = stat()
            #expect(stat(shelf.cache.base(of: digest) + ending, &status) == 0)
            #expect(status.st_mode & 0o777 == 0o444)
        }
        #expect(try shelf.take(Digest(of: [1])) == nil)
        #expect(try Files.names(in: shelf.scratch.path + "/packs/incoming").isEmpty)
    }

    @Test func leastRecentlyUsedPacksAreEvictedFirst() throws {
        let shelf = try Shelf(limit: 400_000)
        let packs = try (0..<3).map { _ in try shelf.keep(100_000) }
        for (number, pack) in packs.enumerated() {
            #expect(shelf.has(pack))
            shelf.age(pack, 30 - 10 * number)
        }
        // The oldest is used again.
        #expect(try shelf.take(packs[0]) != nil)
        let fourth = try shelf.keep(100_000)
        #expect(
            [packs[0], packs[1], packs[2], fourth].map(shelf.has) == [true, false, true, true])
        #expect(shelf.bytes <= shelf.space.limit)
    }

    @Test func gitsFresheningIsNoUse() throws {
        let shelf = try Shelf(limit: 300_000)
        let packs = try (0..<2).map { _ in try shelf.keep(100_000) }
        shelf.age(packs[0], 30)
        shelf.age(packs[1], 20)
        utimensat(AT_FDCWD, shelf.cache.base(of: packs[0]) + ".pack", nil, 0)
        _ = try shelf.keep(100_000)
        #expect(packs.map(shelf.has) == [false, true])
    }

    @Test func packLargerThanTheCacheEvictsNothing() throws {
        let shelf = try Shelf(limit: 150_000)
        let small = try shelf.keep(50_000)
        let large = try shelf.keep(400_000)
        #expect(shelf.has(small))
        #expect(!shelf.has(large))
        #expect(try Files.names(in: shelf.scratch.path + "/packs/incoming").isEmpty)
    }

    @Test func crashDoesNotLeaveTheSizeFileWrong() throws {
        let shelf = try Shelf(limit: 300_000)
        let path = shelf.scratch.path + "/cache-size"
        for text in ["", "rubbish", "1 2 3", "0 1 \n", "-5 \(time(nil)) \n", "9 \(time(nil))"] {
            let first = try shelf.keep(100_000)
            shelf.age(first, 30)
            try Files.write(Array(text.utf8), to: path)
            _ = try shelf.keep(90_000)
            _ = try shelf.keep(90_000)
            #expect(shelf.bytes <= shelf.space.limit, "\(text)")
            #expect(!shelf.has(first), "\(text)")
        }
        // Far too high: found out at once, and nothing goes that may stay.
        for name in try Files.names(in: shelf.scratch.path + "/packs") {
            unlink(shelf.scratch.path + "/packs/" + name)
        }
        let kept = try shelf.keep(100_000)
        try Files.write(Array("\(1 << 40) \(time(nil)) \n".utf8), to: path)
        let more = try shelf.keep(90_000)
        #expect(shelf.has(kept) && shelf.has(more))
    }

    @Test func boundHoldsWithoutASizeFile() throws {
        let shelf = try Shelf(limit: 300_000)
        try Files.makeDirectories(shelf.scratch.path + "/cache-size")
        for _ in 0..<6 { _ = try shelf.keep(90_000) }
        #expect(shelf.bytes <= 300_000 + 300_000 / 8 + 110_000)
        #expect(shelf.bytes > 0)
    }

    @Test func boundHoldsWithManyThreads() throws {
        let shelf = try Shelf(limit: 200_000)
        let made = try concurrently(8) { _ in
            try (0..<5).map { _ in
                let digest = try shelf.keep(20_000)
                _ = try shelf.take(digest)
                return digest
            }
        }.flatMap { $0 }
        #expect(shelf.bytes <= shelf.space.limit)
        #expect(made.contains(where: shelf.has))
        for digest in made where shelf.has(digest) { #expect(try shelf.take(digest) == 3) }
    }

    @Test func damagedFilesAreDropped() throws {
        let shelf = try Shelf(limit: 1 << 20)
        let other = try shelf.keep(1000)
        let damages: [(String) throws -> Void] = [
            { truncate($0 + ".pack", 500) },
            { truncate($0 + ".pack", 0) },
            { truncate($0 + ".idx", 100) },
            { truncate($0 + ".idx", 0) },
            { base in
                let file = try OwnedDescriptor.open(base + ".pack", O_WRONLY | O_APPEND)
                try writeAll(file.raw, [0])
            },
            { base in
                unlink(base + ".idx")
                link(shelf.cache.base(of: other) + ".idx", base + ".idx")
            },
            { base in
                unlink(base + ".pack")
                symlink(shelf.cache.base(of: other) + ".pack", base + ".pack")
            },
            { base in
                // As a power cut leaves what was never synced.
                for ending in [".pack", ".idx"] {
                    let size = try #require(try Files.size(of: base + ending))
                    truncate(base + ending, 0)
                    truncate(base + ending, off_t(size))
                }
            },
        ]
        for (number, damage) in damages.enumerated() {
            let digest = try shelf.keep(1000)
            try damage(shelf.cache.base(of: digest))
            #expect(try shelf.take(digest) == nil, "\(number)")
            #expect(!shelf.has(digest), "\(number)")
        }
        // One half that is missing is no damage, and no pack either.
        for ending in [".pack", ".idx"] {
            let digest = try shelf.keep(1000)
            unlink(shelf.cache.base(of: digest) + ending)
            #expect(try shelf.take(digest) == nil)
        }
        #expect(try shelf.take(other) == 3)
        #expect(
            try Files.names(in: shelf.scratch.path + "/w").allSatisfy {
                try $0.isEmpty || Files.names(in: shelf.scratch.path + "/w/" + $0).count != 1
            })
    }

    @Test func changedByteIsFoundInAPackUnusedSinceTheMachineStarted() throws {
        let shelf = try Shelf(limit: 1 << 20)
        for ending in [".pack", ".idx"] {
            let digest = try shelf.keep(1000)
            let path = shelf.cache.base(of: digest) + ending
            #expect(try shelf.take(digest) == 3)
            var bytes = try Files.read(path)
            bytes[bytes.count / 2] ^= 1
            try Files.write(bytes, to: path)
            shelf.cache.ageBeyondStart(digest)
            #expect(try shelf.take(digest) == nil)
            #expect(!shelf.has(digest))

            // One that is whole is not doubted twice.
            let good = try shelf.keep(1000)
            shelf.cache.ageBeyondStart(good)
            #expect(try shelf.take(good) == 3)
            var status = stat()
            #expect(stat(shelf.cache.base(of: good) + ".idx", &status) == 0)
            #expect(status.st_mtim.tv_sec > 1000)
        }
    }

    @Test func filesThatCannotBeLinkedAreCopied() throws {
        for code in [EXDEV, EPERM, EMLINK, EACCES] {
            let scratch = try TemporaryDirectory()
            let (source, target) = (scratch.path + "/a", scratch.path + "/b")
            let content = Array(repeating: UInt8(7), count: 3_000_000)
            try Files.write(content, to: source, mode: 0o444)
            try FileLink { _, _ in code }.place(source, at: target)
            #expect(try Files.read(target) == content)
            unlink(source)
            #expect(access(target, F_OK) == 0)
        }
        // A missing file is not copied, and a failed copy leaves nothing.
        let scratch = try TemporaryDirectory()
        for link in [FileLink.system, FileLink { _, _ in EXDEV }] {
            #expect(throws: SystemError.self) {
                try link.place(scratch.path + "/none", at: scratch.path + "/b")
            }
            #expect(throws: SystemError.self) {
                try FileLink { _, _ in EXDEV }.place(scratch.path, at: scratch.path + "/b")
            }
            #expect(try Files.names(in: scratch.path).isEmpty)
        }
    }

    @Test func leftoversOfKilledProcessesAreSweptAndLiveOnesStay() throws {
        let scratch = try TemporaryDirectory()
        let incoming = scratch.path + "/packs/incoming"
        try Files.makeDirectories(incoming)
        let (dead, living) = (Digest(of: [1]), Digest(of: [2]))
        for digest in [dead, living] {
            for ending in [".pack", ".idx", ".rev", ".lock"] {
                try Files.write([1], to: "\(incoming)/\(digest.hex)\(ending)")
            }
        }
        unlink("\(incoming)/\(dead.hex).lock")
        let child = try LockHolder(of: "\(incoming)/\(living.hex).lock")
        func open() {
            _ = PackCache(
                in: scratch.path,
                space: CacheSpace(limit: 1, sizeFile: scratch.path + "/size", directories: []))
        }
        open()
        #expect(try Files.names(in: incoming).count == 4)
        #expect(try Files.names(in: incoming).allSatisfy { $0.hasPrefix(living.hex) })
        try child.kill()
        open()
        #expect(try Files.names(in: incoming).isEmpty)
    }
}
