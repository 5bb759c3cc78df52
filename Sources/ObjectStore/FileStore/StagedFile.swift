import Bytes
import Glibc
import Posix

/// A file in `.tmp` that becomes an object once it is complete and synced; gone when its owner goes.
///
/// The writer holds its lock: what in `.tmp` is not locked has lost its writer, and may be swept.
struct StagedFile: ~Copyable {
    let file: OwnedDescriptor
    let path: String

    /// Makes an empty one, under a name that is never used again.
    init(in directory: String) throws(SystemError) {
        while true {
            let path = directory + "/" + Hex.random()
            let file = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL)
            // A sweeper can come between open and lock: then it has the lock, or the name is gone.
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
        // After a rename there is nothing of this name; after link(2) the object has its own.
        _ = unlink(path)
    }

    /// Stamps and syncs the file, complete as it is. The time is nearly always late enough then, and
    /// under the key's lock nothing is left to be done.
    func sync() throws(SystemError) {
        _ = try FileStatus.stamp(file.raw, path, laterThan: nil)
        try Files.sync(file.raw, path)
    }

    /// What fstat(2) says once the time of modification is later than `floor`, durably.
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
                // Published meanwhile, or another user's: not ours to remove.
                continue
            }
        }
    }
}
