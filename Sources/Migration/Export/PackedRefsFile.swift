import Glibc
import Posix
import Repository

/// A repository's `packed-refs`, which is replaced as by git: a lock file becomes the new file.
struct PackedRefsFile {
    private let path: String
    private let lock: String
    /// The path of the new file before it becomes the lock. If it exists and the lock is the same
    /// file, an interrupted export left the lock behind.
    private let own: String

    /// - Parameter gitDirectory: the repository, to which one export at a time writes.
    init(in gitDirectory: String) {
        path = gitDirectory + "/packed-refs"
        lock = path + ".lock"
        own = path + ".export"
    }

    /// Replaces the file and syncs the new one.
    func replace(by bytes: [UInt8]) throws {
        if let left = Self.identity(of: own), left == Self.identity(of: lock) {
            _ = unlink(lock)
        }
        // It may be the current `packed-refs`, too, which must not be written to.
        _ = unlink(own)
        let file = try OwnedDescriptor.open(own, O_WRONLY | O_CREAT | O_EXCL, mode: 0o666)
        try writeAll(file.raw, bytes)
        try Files.sync(file.raw, own)
        try file.close()
        if link(own, lock) != 0 {
            guard errno == EEXIST else { throw SystemError("link", lock) }
            _ = unlink(own)
            throw ExportError.locked(lock)
        }
        FaultPoint.reach(.exportLocked)
        _ = try check("rename", path) { rename(lock, path) }
        _ = unlink(own)
        try Files.syncDirectory(Files.parent(of: path) ?? "/")
    }

    private struct Identity: Equatable {
        let device: dev_t
        let number: ino_t
    }

    private static func identity(of path: String) -> Identity? {
        var status = stat()
        if lstat(path, &status) != 0 { return nil }
        return Identity(device: status.st_dev, number: status.st_ino)
    }
}
