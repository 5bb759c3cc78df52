import Bytes
import GitProtocol
import Glibc
import ObjectStore
import Posix

/// Packs and what is derived of them, kept between requests: `<state>/packs/<sha256>.pack`, `.idx`
/// and, where there are, `.bitmap` and `.graph`.
///
/// Packs never change and are named by their bytes, so nothing here is ever out of date, and an
/// empty cache is a correct one. Any number of processes may share it.
///
/// - What comes in is verified first, and renamed into place whole: the index before the pack, so
///   that a pack which is there has one. Nothing is written in place; files are read-only.
/// - What goes out is another name of the same file. Two looks at its ends find out whether it was
///   cut, or lost its index. What was not used since this machine started is hashed again: a power
///   cut may have taken bytes that were never synced. So is all once a day, and what git failed
///   with, ``prove(_:_:)``.
/// - Bytes that rot in between are found by git, where it unpacks them, and by the client, which
///   hashes all that it receives. But git sends most of a pack on as it is, and does not hear of the
///   client's complaint: hence the last.
package final class PackCache: Sendable {
    let space: CacheSpace
    /// How a file gets into a workspace.
    let files: FileLink
    private let directory: String
    /// Where packs are before they are whole.
    private let incoming: String
    /// The file that says which packs were hashed lately because git had failed.
    let proofs: String
    /// How long a claim of another is waited for while nothing moves.
    private let patience: Duration

    /// What the files' names end with.
    package enum Suffix {
        package static let pack = ".pack"
        package static let index = ".idx"
        static let bitmap = ".bitmap"
        static let graph = ".graph"
        static let noBitmap = ".no-bitmap"
        static let noGraph = ".no-graph"

        static let sidecars = [bitmap, graph, noBitmap, noGraph]
        /// In the order of removal: a pack that is there has its index.
        static let all = [pack] + sidecars + [index]
    }

    /// Makes the directories, and sweeps what dead processes left. Where that cannot be, nothing is
    /// kept, and requests fetch for themselves.
    init(
        in state: String, space: CacheSpace, files: FileLink = .system,
        patience: Duration = .seconds(600)
    ) {
        directory = state + "/packs"
        incoming = directory + "/incoming"
        proofs = state + "/proofs"
        self.space = space
        self.files = files
        self.patience = patience
        // Found out again with each pack.
        try? Files.makeDirectories(incoming)
        PackClaim.sweep(incoming)
    }

    func base(of digest: Digest) -> String { "\(directory)/\(digest.hex)" }

    /// Puts a pack and its index into a workspace's pack directory.
    ///
    /// - Returns: the number of its objects; nil: it is not here, or was not what it must be, and
    ///   is gone now.
    func take(_ digest: Digest, into target: String, format: ObjectFormat) -> Int? {
        let cached = base(of: digest)
        let placed = "\(target)/pack-\(digest.hex)"
        var status = stat()
        guard lstat(cached + Suffix.index, &status) == 0 else { return nil }
        do {
            try files.place(cached + Suffix.index, at: placed + Suffix.index)
            try files.place(cached + Suffix.pack, at: placed + Suffix.pack)
            // One hashes it, and the others go on as before.
            let turn = isDue(cached + Suffix.pack) ? try? claim(digest) : nil
            defer { withExtendedLifetime(turn) {} }

            let isProven = status.st_mtim.tv_sec > Self.startOfMachine && turn == nil
            if let objects = try PackIndex.objects(
                placed + Suffix.index, forPack: placed + Suffix.pack, format: format),
                try isProven || isWhole(placed, digest, format)
            {
                if !isProven {
                    Self.remove(cached, Suffix.sidecars)
                    touch(cached + Suffix.pack)
                }
                touch(cached + Suffix.index)
                return objects
            }
            drop(digest)
        } catch let error as SystemError {
            // Evicted meanwhile, unreadable, or the disk is full: it stays as it is. What cannot
            // be read at all, or is no file, must go.
            if [EIO, ELOOP, EISDIR].contains(error.code) { drop(digest) }
        } catch {
            drop(digest)
        }
        Self.remove(placed, [Suffix.pack, Suffix.index])
        return nil
    }

    /// Seconds after which a pack is hashed again.
    private static let proofTime = 86_400

    /// Whether it is long ago that a pack was made or hashed: its time of modification, which git
    /// may set, too, when it finds an object there that it was about to write. Of another user's file
    /// it could not be set after hashing.
    private func isDue(_ pack: String) -> Bool {
        var status = stat()
        return lstat(pack, &status) == 0 && status.st_uid == geteuid()
            && abs(time(nil) - status.st_mtim.tv_sec) > Self.proofTime
    }

    /// Whether a pack and its index are what their names say, byte for byte.
    func isWhole(_ base: String, _ digest: Digest, _ format: ObjectFormat) throws -> Bool {
        let body = try ObjectBody.file(hashing: base + Suffix.pack)
        guard body.digest == digest else { return false }
        return try PackIndex.isGood(
            base + Suffix.index, forPack: base + Suffix.pack, format: format)
    }

    /// Claims a pack that is not here; nil: somebody else is at it.
    func claim(_ digest: Digest) throws(SystemError) -> PackClaim? {
        // Somebody may have cleared the state directory while this runs.
        try Files.makeDirectories(incoming)
        return try PackClaim.attempt(digest, in: incoming)
    }

    /// Waits for whoever brings a pack in; nil: in vain.
    func waitToClaim(_ digest: Digest) throws(SystemError) -> PackClaim? {
        try PackClaim.wait(digest, in: incoming, patience: patience)
    }

    /// Takes over what was made under a claim: the pack and its index, verified. What is larger
    /// than the whole cache is not kept, nor what cannot be.
    func admit(_ claim: PackClaim) {
        admit(claim, [Suffix.index, Suffix.pack])
    }

    /// The same for one file that belongs to a pack which is here.
    func admit(_ claim: PackClaim, _ suffix: String) {
        admit(claim, [suffix])
    }

    private func admit(_ claim: PackClaim, _ suffixes: [String]) {
        var bytes: Int64 = 0
        for suffix in suffixes {
            var status = stat()
            guard stat(claim.base + suffix, &status) == 0 else { return }
            bytes += Int64(status.st_size)
        }
        guard bytes <= space.limit else { return }
        for suffix in suffixes {
            guard chmod(claim.base + suffix, 0o444) == 0,
                rename(claim.base + suffix, base(of: claim.digest) + suffix) == 0
            else { return }
        }
        space.note(added: bytes)
    }

    /// Keeps a pack that was made here, as a push does: its files, by their suffixes, get another
    /// name. It is derived work, so whatever fails here fails nothing.
    func keep(_ digest: Digest, _ files: [(suffix: String, path: String)]) {
        guard access(base(of: digest) + Suffix.pack, F_OK) != 0,
            // Somebody is at it, or nothing can be kept.
            let claim = try? claim(digest)
        else { return }
        for file in files {
            guard (try? self.files.place(file.path, at: claim.base + file.suffix)) != nil else {
                return
            }
        }
        // The pack last, when what belongs to it is there.
        let suffixes = files.map(\.suffix)
        admit(claim, Suffix.all.reversed().filter(suffixes.contains))
    }

    /// Removes a pack and all that belongs to it.
    func drop(_ digest: Digest) {
        Self.remove(base(of: digest), Suffix.all)
    }

    /// Sets a file's time of modification to now. An index's is the time of use: git sets that of
    /// a pack. utimensat(2). Of another user's file it cannot be set, and need not be.
    private func touch(_ path: String) {
        utimensat(AT_FDCWD, path, nil, AT_SYMLINK_NOFOLLOW)
    }

    /// Seconds since 1970, by the clock as it is now: a file used after the machine started stays so
    /// when the clock is set. clock_gettime(2).
    private static var startOfMachine: Int {
        var sinceStart = timespec()
        clock_gettime(CLOCK_BOOTTIME, &sinceStart)
        return time(nil) - sinceStart.tv_sec
    }

    /// Removes files of one name, packs first.
    static func remove(_ base: String, _ suffixes: [String]) {
        let (known, others) = (
            Suffix.all.filter(suffixes.contains), suffixes.filter { !Suffix.all.contains($0) }
        )
        for suffix in known + others { unlink(base + suffix) }
    }
}

/// The right to add one pack to the cache, which one thread of one process holds at a time. The files
/// of an attempt are removed with it.
///
/// A thread that holds claims never waits for another one, so no two threads wait for each other. A
/// claim is a file lock and ends with its process.
final class PackClaim: Sendable {
    let digest: Digest
    /// The path of the files in the making, without their suffixes.
    let base: String
    private let lock: FileLock

    private init(_ digest: Digest, _ base: String, _ lock: consuming FileLock) {
        self.digest = digest
        self.base = base
        self.lock = lock
        // A killed process may have left files, which may be read-only by now.
        PackCache.remove(base, PackCache.Suffix.all)
    }

    deinit {
        // The lock's name goes last, while the lock is still held.
        PackCache.remove(base, PackCache.Suffix.all + [".rev", Self.lockSuffix])
    }

    private static let lockSuffix = ".lock"

    /// Claims a pack; nil if another thread or process holds the claim.
    static func attempt(
        _ digest: Digest, in directory: String
    ) throws(SystemError) -> PackClaim? {
        let base = "\(directory)/\(digest.hex)"
        guard let lock = try FileLock.attempt(base + lockSuffix) else { return nil }
        return PackClaim(digest, base, lock)
    }

    /// Waits until the claim is free, and takes it; nil if its holder made no progress for as long as
    /// `patience`.
    static func wait(
        _ digest: Digest, in directory: String, patience: Duration
    ) throws(SystemError) -> PackClaim? {
        let base = "\(directory)/\(digest.hex)"
        var last = progress(base)
        var since = ContinuousClock.now
        let lock = try FileLock.wait(for: base + lockSuffix) {
            let current = progress(base)
            if current != last { (last, since) = (current, .now) }
            return .now - since > patience
        }
        guard let lock else { return nil }
        return PackClaim(digest, base, lock)
    }

    /// A value that changes while the holder writes.
    private static func progress(_ base: String) -> [Int] {
        [PackCache.Suffix.pack, PackCache.Suffix.index].flatMap { suffix -> [Int] in
            var status = stat()
            guard stat(base + suffix, &status) == 0 else { return [] }
            return [Int(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
        }
    }

    /// Removes the files of dead processes.
    static func sweep(_ directory: String) {
        // Without a directory there is nothing to sweep.
        guard let names = try? Files.names(in: directory) else { return }
        for digest in Set(names.compactMap { Digest(hex: $0.utf8.prefix(64)) }) {
            // A claim that is held, or belongs to another user, stays.
            _ = try? attempt(digest, in: directory)
        }
    }
}
