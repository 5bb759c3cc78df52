package import Bytes
import Git
package import GitProtocol
import Glibc
import ObjectStore
package import Posix

/// Packs and their derived files, kept between requests: `<state>/packs/<sha256>.pack`, `.idx` and,
/// if they exist, `.bitmap` and `.graph`.
///
/// Packs never change and are named by their bytes, so nothing here is ever out of date, and an
/// empty cache is correct. Any number of processes may share it.
///
/// - Files are verified before they are added, and renamed into place: the index before the pack,
///   so that every pack has one. Files are read-only and never modified in place.
/// - A workspace gets a hard link to the same file. Two reads at a file's ends detect that it was
///   truncated, or that it lost its index. A pack that was not used since the machine started is
///   hashed again, since a power failure may have lost bytes that were never synced. So is every
///   pack once a day, and those that git failed with, ``prove(_:_:)``.
/// - Bytes that decay in the meantime are detected by git if it unpacks them, and by the client,
///   which hashes everything. But git sends most of a pack unchanged, and never learns of the
///   client's complaint. The daily hash is for that.
package final class PackCache: Sendable {
    package let space: CacheSpace
    /// Links a file into a workspace.
    package let files: FileLink
    private let directory: String
    /// The directory of packs that are not complete yet.
    private let incoming: String
    /// The file that lists the packs that were hashed recently because git had failed.
    let proofs: String
    /// The longest wait for another claim that makes no progress.
    private let patience: Duration

    /// The suffixes of the files' names.
    package enum Suffix {
        package static let pack = ".pack"
        package static let index = ".idx"
        package static let bitmap = ".bitmap"
        package static let graph = ".graph"
        static let noBitmap = ".no-bitmap"
        static let noGraph = ".no-graph"

        static let sidecars = [bitmap, graph, noBitmap, noGraph]
        /// In the order of removal: a pack that exists has its index.
        static let all = [pack] + sidecars + [index]
    }

    /// Creates the directories, and removes the files of dead processes. If that fails, nothing is
    /// cached, and each request downloads its own packs.
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
        // A failure shows again with each pack.
        try? Files.makeDirectories(incoming)
        PackClaim.sweep(incoming)
    }

    /// Whether a pack is in the cache at this moment.
    package func has(_ digest: Digest) -> Bool { access(base(of: digest) + ".pack", F_OK) == 0 }

    /// The path of a cached pack and its companions, without their suffixes.
    package func base(of digest: Digest) -> String { "\(directory)/\(digest.hex)" }

    /// Puts a pack and its index into a workspace's pack directory.
    ///
    /// - Returns: the number of its objects; nil if it is not in the cache, or was invalid and has
    ///   been removed.
    package func take(_ digest: Digest, into target: String, format: ObjectFormat) -> Int? {
        let cached = base(of: digest)
        let placed = "\(target)/pack-\(digest.hex)"
        var status = stat()
        guard lstat(cached + Suffix.index, &status) == 0 else { return nil }
        do {
            try files.place(cached + Suffix.index, at: placed + Suffix.index)
            try files.place(cached + Suffix.pack, at: placed + Suffix.pack)
            // One thread hashes it, and the others go on as before.
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
            // A file that was evicted in the meantime or cannot be linked stays as it is, also if
            // the disk is full. A file that cannot be read at all, or is not a regular file, is
            // removed.
            if [EIO, ELOOP, EISDIR].contains(error.code) { drop(digest) }
        } catch {
            drop(digest)
        }
        Self.remove(placed, [Suffix.pack, Suffix.index])
        return nil
    }

    /// The age in seconds from which on a pack is hashed again.
    private static let proofTime = 86_400

    /// Whether a pack was added or hashed long ago, by its modification time. git may set that as
    /// well, when it finds an object in the pack that it was about to write. That of another user's
    /// file cannot be set after hashing.
    private func isDue(_ pack: String) -> Bool {
        var status = stat()
        return lstat(pack, &status) == 0 && status.st_uid == geteuid()
            && abs(time(nil) - status.st_mtim.tv_sec) > Self.proofTime
    }

    /// Whether a pack and its index match their names, byte for byte.
    func isWhole(_ base: String, _ digest: Digest, _ format: ObjectFormat) throws -> Bool {
        let body = try ObjectBody.file(hashing: base + Suffix.pack)
        guard body.digest == digest else { return false }
        return try PackIndex.isGood(
            base + Suffix.index, forPack: base + Suffix.pack, format: format)
    }

    /// Claims a pack that is not in the cache; nil if another thread or process holds the claim.
    package func claim(_ digest: Digest) throws -> PackClaim? {
        // The state directory may have been cleared in the meantime.
        try Files.makeDirectories(incoming)
        return try PackClaim.attempt(digest, in: incoming)
    }

    /// Waits for the thread or process that adds a pack, and claims it then; nil if it made no
    /// progress.
    package func waitToClaim(_ digest: Digest) throws -> PackClaim? {
        try PackClaim.wait(digest, in: incoming, patience: patience)
    }

    /// Adds the verified pack and index that were created under a claim. A pack larger than the
    /// whole cache is not added.
    package func admit(_ claim: PackClaim) {
        admit(claim, [Suffix.index, Suffix.pack])
    }

    /// Adds one file that belongs to a cached pack.
    package func admit(_ claim: PackClaim, _ suffix: String) {
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

    /// Adds a pack that was created here, for example by a push: its files, by their suffixes, get
    /// another name. The cache is derived, so failures are ignored.
    package func keep(_ digest: Digest, _ files: [(suffix: String, path: String)]) {
        guard access(base(of: digest) + Suffix.pack, F_OK) != 0,
            // Another thread holds the claim, or the cache cannot be written.
            let claim = try? claim(digest)
        else { return }
        for file in files {
            guard (try? self.files.place(file.path, at: claim.base + file.suffix)) != nil else {
                return
            }
        }
        // The pack comes last, when the files that belong to it exist.
        let suffixes = files.map(\.suffix)
        admit(claim, Suffix.all.reversed().filter(suffixes.contains))
    }

    /// Removes a pack and all its files.
    func drop(_ digest: Digest) {
        Self.remove(base(of: digest), Suffix.all)
    }

    /// Sets a file's modification time to now. An index's is the time of the last use, since git
    /// sets a pack's. utimensat(2). That of another user's file cannot be set, and does not have to
    /// be.
    private func touch(_ path: String) {
        utimensat(AT_FDCWD, path, nil, AT_SYMLINK_NOFOLLOW)
    }

    /// The time of the machine's start in seconds since 1970, by the current clock: a file used
    /// since then stays so if the clock is set. clock_gettime(2).
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
package final class PackClaim: Sendable {
    package let digest: Digest
    /// The path of the files in the making, without their suffixes.
    package let base: String
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
    ) throws -> PackClaim? {
        let base = "\(directory)/\(digest.hex)"
        guard let lock = try FileLock.attempt(base + lockSuffix) else { return nil }
        return PackClaim(digest, base, lock)
    }

    /// Waits until the claim is free, and takes it; nil if its holder made no progress for as long as
    /// `patience`.
    static func wait(
        _ digest: Digest, in directory: String, patience: Duration
    ) throws -> PackClaim? {
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
