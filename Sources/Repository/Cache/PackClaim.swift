import Bytes
import Glibc
import ObjectStore
import Posix

/// The right to bring one pack into the cache, which one thread of one process has at a time. What
/// was left of the attempt goes with it.
///
/// Whoever holds claims waits for none: so no two wait for each other. A process that dies gives
/// its claims up.
final class PackClaim: Sendable {
    let digest: Digest
    /// Where the files are made, without their suffixes.
    let base: String
    private let lock: FileLock

    private init(_ digest: Digest, _ base: String, _ lock: consuming FileLock) {
        self.digest = digest
        self.base = base
        self.lock = lock
        // Of one that was killed. They may be read-only by now, and not to be written into.
        PackCache.remove(base, PackCache.Suffix.all)
    }

    deinit {
        // The lock's name goes last, while the lock is still held.
        PackCache.remove(base, PackCache.Suffix.all + [".rev", Self.lockSuffix])
    }

    private static let lockSuffix = ".lock"

    /// Claims a pack; nil: somebody else is at it.
    static func attempt(
        _ digest: Digest, in directory: String
    ) throws(SystemError) -> PackClaim? {
        let base = "\(directory)/\(digest.hex)"
        guard let lock = try FileLock.attempt(base + lockSuffix) else { return nil }
        return PackClaim(digest, base, lock)
    }

    /// Waits until whoever is at it is done, and claims the pack then; nil: nothing has moved there
    /// for as long as `patience`.
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

    /// Changes as long as something is written.
    private static func progress(_ base: String) -> [Int] {
        [PackCache.Suffix.pack, PackCache.Suffix.index].flatMap { suffix -> [Int] in
            var status = stat()
            guard stat(base + suffix, &status) == 0 else { return [] }
            return [Int(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
        }
    }

    /// Removes what dead processes left.
    static func sweep(_ directory: String) {
        // Not there: nothing to sweep.
        guard let names = try? Files.names(in: directory) else { return }
        for digest in Set(names.compactMap { Digest(hex: $0.utf8.prefix(64)) }) {
            // Alive, or another user's: left alone.
            _ = try? attempt(digest, in: directory)
        }
    }
}
