import Bytes
import Glibc
import Posix

/// A file in `.tmp` that becomes an object once it is complete and synced. It is removed when this
/// value is destroyed.
///
/// The writer holds its lock. A file in `.tmp` that nobody has locked lost its writer and is swept.
struct StagedFile: ~Copyable {
    let file: OwnedDescriptor
    let path: String

    /// Creates an empty file, under a name that is never used again.
    init(in directory: String) throws(SystemError) {
        while true {
            let path = directory + "/" + Hex.random()
            let file = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL)
            // If a sweeper comes between open and lock, it has the lock, or the name no longer
            // exists.
            if try Files.lock(file.raw, waiting: .never, path),
                try FileStatus(file.raw, path).links == 1
            {
                self.file = file
                self.path = path
                return
            }
            _ = unlink(path)
        }
    }

    deinit {
        // After rename(2) this name no longer exists; after link(2) the object has its own name.
        _ = unlink(path)
    }

    /// Stamps and syncs the complete file. Nearly always the time is late enough, and nothing is
    /// left to do under the key's lock.
    func sync() throws(SystemError) {
        _ = try FileStatus.stamp(file.raw, path, laterThan: nil)
        try Files.sync(file.raw, path)
    }

    /// Returns the file's status once its modification time is later than `floor`, durably.
    /// fstat(2).
    func stamped(laterThan floor: FileTime) throws(SystemError) -> FileStatus {
        let status = try FileStatus(file.raw, path)
        if status.modified > floor { return status }
        let later = try FileStatus.stamp(file.raw, path, laterThan: floor)
        try Files.sync(file.raw, path)
        return later
    }

    /// Removes the files whose writers died.
    static func sweep(_ directory: String) throws(SystemError) {
        for name in try Files.names(in: directory) {
            let path = directory + "/" + name
            do {
                let file = try OwnedDescriptor.open(path, O_RDONLY | O_NOFOLLOW)
                if try Files.lock(file.raw, waiting: .never, path) { _ = unlink(path) }
            } catch {
                // It was published in the meantime, or belongs to another user.
                continue
            }
        }
    }
}
