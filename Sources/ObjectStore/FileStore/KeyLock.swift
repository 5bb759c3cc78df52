import Bytes
import Glibc
import Posix

/// The right to publish or remove objects whose keys hash alike; given up when it goes.
///
/// 256 files in `.locks` serve all keys, so that they need not be cleaned up. A lock is taken on an
/// open file description of its own, and so excludes threads as it does processes; a process that
/// dies gives it up. No operation holds two. flock(2).
struct KeyLock: ~Copyable {
    private let file: OwnedDescriptor
    private let path: String

    /// Waits for the lock of a key.
    init(of key: ObjectKey, in directory: String) throws(SystemError) {
        let name = Digest(of: Array(key.path.utf8)).hex.prefix(2)
        path = directory + "/" + name
        while true {
            let file = try OwnedDescriptor.open(path, O_RDWR | O_CREAT)
            _ = try Files.lock(file.raw, waiting: .untilFree, path)
            // Whoever tidied `.locks` meanwhile took the name away: others now lock another file.
            let held = try FileStatus(file.raw, path)
            if let named = try FileStatus(of: path), named.inode == held.inode {
                self.file = file
                return
            }
        }
    }

    /// What is published must be later than this: than what was removed, and than `current`.
    func floor(with current: FileStatus?) throws(SystemError) -> FileTime {
        let removed = try FileStatus(file.raw, path).modified
        return max(removed, current?.modified ?? removed)
    }

    /// Moves the floor past what is about to be removed, durably.
    func raiseFloor(past removed: FileStatus) throws(SystemError) {
        _ = try FileStatus.stamp(file.raw, path, laterThan: floor(with: removed))
        try Files.sync(file.raw, path)
        if let directory = Files.parent(of: path) { try Files.syncDirectory(directory) }
    }

    /// Gives the lock up.
    consuming func release() {}
}
