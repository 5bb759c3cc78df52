import Bytes
import Glibc
import Posix

/// The right to publish or remove objects whose keys have the same hash. It is released when this
/// value is destroyed.
///
/// 256 files in `.locks` serve all keys, so they need not be cleaned up. A lock belongs to an open
/// file description of its own, so it excludes threads as well as processes, and a process that
/// dies releases it. No operation holds two. flock(2).
struct KeyLock: ~Copyable {
    private let lock: FileLock
    private let path: String

    /// Waits for the lock of a key.
    init(of key: ObjectKey, in directory: String) throws(SystemError) {
        let name = Digest(of: Array(key.path.utf8)).hex.prefix(2)
        path = directory + "/" + name
        lock = try FileLock.wait(for: path)
    }

    /// The time that a new object must exceed: that of removed objects, and that of `current`.
    func floor(with current: FileStatus?) throws(SystemError) -> FileTime {
        let removed = try FileStatus(lock.file.raw, path).modified
        return max(removed, current?.modified ?? removed)
    }

    /// Raises the floor above the time of an object that is about to be removed, durably.
    func raiseFloor(past removed: FileStatus) throws(SystemError) {
        _ = try FileStatus.stamp(lock.file.raw, path, laterThan: floor(with: removed))
        try Files.sync(lock.file.raw, path)
        if let directory = Files.parent(of: path) { try Files.syncDirectory(directory) }
    }

    /// Releases the lock.
    consuming func release() {}
}
