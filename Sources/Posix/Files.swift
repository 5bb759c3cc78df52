import CSystem
package import Glibc

/// Whole-file and directory operations on the local disk.
package enum Files {
    /// Reads a whole file of at most `limit` bytes; a longer one is EFBIG.
    package static func read(_ path: String, limit: Int = 1 << 26) throws(SystemError) -> [UInt8] {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        return try readToEnd(file.raw, limit: limit, subject: path)
    }

    /// Reads what is left of an open file, at most `limit` bytes; more is EFBIG.
    package static func readToEnd(
        _ descriptor: Int32, limit: Int, subject: String
    ) throws(SystemError) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = try chunk.withMutableBytes { (buffer) throws(SystemError) in
                try readSome(descriptor, into: buffer)
            }
            if count == 0 { return bytes }
            bytes.append(contentsOf: chunk[..<count])
            if bytes.count > limit { throw SystemError("read", subject, code: EFBIG) }
        }
    }

    /// Writes a file, replacing what was there; not synced.
    package static func write(
        _ bytes: [UInt8], to path: String, mode: mode_t = 0o600
    ) throws(SystemError) {
        let file = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
        try writeAll(file.raw, bytes)
        try file.close()
    }

    /// Size in bytes, or nil if there is no such file. stat(2).
    package static func size(of path: String) throws(SystemError) -> Int64? {
        var status = stat()
        if stat(path, &status) == 0 { return Int64(status.st_size) }
        if errno == ENOENT || errno == ENOTDIR { return nil }
        throw SystemError("stat", path)
    }

    /// Makes a directory and those above it; one that is there already is fine. mkdir(2).
    package static func makeDirectories(_ path: String, mode: mode_t = 0o700) throws(SystemError) {
        if mkdir(path, mode) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let parent = parent(of: path), parent != path else {
            throw SystemError("mkdir", path)
        }
        try makeDirectories(parent, mode: mode)
        if mkdir(path, mode) != 0, errno != EEXIST { throw SystemError("mkdir", path) }
    }

    /// The directory that holds `path`; nil where there is none to name.
    package static func parent(of path: String) -> String? {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return nil }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Syncs a directory, which makes the names in it durable. fsync(2).
    package static func syncDirectory(_ path: String) throws(SystemError) {
        let directory = try OwnedDescriptor.open(path, O_RDONLY | O_DIRECTORY)
        try check("fsync", path) { gs3_sync(directory.raw) }
    }

    /// Syncs an open file's data and metadata. fsync(2).
    package static func sync(_ descriptor: Int32, _ path: String) throws(SystemError) {
        try check("fsync", path) { gs3_sync(descriptor) }
    }

    /// The names in a directory, but for `.` and `..`; unordered. readdir(3).
    package static func names(in path: String) throws(SystemError) -> [String] {
        guard let stream = opendir(path) else { throw SystemError("opendir", path) }
        defer { closedir(stream) }

        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw SystemError("readdir", path) }
                return names
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
    }

    /// Removes a file, or a directory with all that is in it; links are not followed. What cannot
    /// be removed is left. nftw(3) would need state beyond its callback.
    package static func removeTree(_ path: String) {
        if unlink(path) == 0 || errno == ENOENT { return }
        if let names = try? names(in: path) {
            for name in names { removeTree(path + "/" + name) }
        }
        _ = rmdir(path)
    }

    /// Whether a path still leads to an open file or directory, and not to nothing or to what
    /// somebody put in its place. fstat(2), lstat(2).
    package static func isNamed(_ descriptor: Int32, _ path: String) -> Bool {
        var held = stat()
        var named = stat()
        return fstat(descriptor, &held) == 0 && lstat(path, &named) == 0
            && held.st_ino == named.st_ino && held.st_dev == named.st_dev
    }

    /// Takes the exclusive lock of an open file or directory. flock(2).
    ///
    /// - Returns: false if another holds it and `waiting` is `.never`.
    package static func lock(
        _ descriptor: Int32, waiting: LockWait, _ path: String
    ) throws(SystemError) -> Bool {
        if gs3_lock(descriptor, waiting == .untilFree ? 1 : 0) == 0 { return true }
        if errno == EWOULDBLOCK { return false }
        throw SystemError("flock", path)
    }

    /// Whether a lock is waited for.
    package enum LockWait: Sendable { case never, untilFree }
}
