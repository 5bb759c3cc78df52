import CSystem
package import Glibc

/// Whole-file and directory operations on the local disk.
package enum Files {
    /// Reads a whole file of at most `limit` bytes; a longer one is EFBIG.
    package static func read(_ path: String, limit: Int = 1 << 26) throws(SystemError) -> [UInt8] {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        return try readToEnd(file.raw, limit: limit, subject: path)
    }

    /// Reads the rest of an open file, at most `limit` bytes; more is EFBIG.
    package static func readToEnd(
        _ descriptor: Int32, limit: Int, subject: String
    ) throws(SystemError) -> [UInt8] {
        var bytes: [UInt8] = []
        // Most files that are read completely are small.
        try forEachChunk(descriptor, size: 1 << 16) { (chunk) throws(SystemError) in
            bytes.append(contentsOf: chunk)
            if bytes.count > limit { throw SystemError("read", subject, code: EFBIG) }
        }
        return bytes
    }

    /// Reads an open file to its end and passes on each chunk. read(2).
    ///
    /// - Parameter size: the bytes of a chunk; the default is so large that calls and page faults do
    ///   not matter.
    package static func forEachChunk(
        _ descriptor: Int32, size: Int = 1 << 20,
        _ body: (UnsafeRawBufferPointer) throws(SystemError) -> Void
    ) throws(SystemError) {
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 4096)
        defer { chunk.deallocate() }

        while true {
            let count = try readSome(descriptor, into: chunk)
            if count == 0 { return }
            try body(UnsafeRawBufferPointer(rebasing: chunk[..<count]))
        }
    }

    /// Reads up to `count` bytes at an offset; fewer at the end of the file. pread(2).
    package static func read(
        _ descriptor: Int32, at offset: Int64, count: Int, subject: String
    ) throws(SystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let read = try check("pread", subject) { pread(descriptor, &bytes, count, off_t(offset)) }
        return read < count ? Array(bytes.prefix(read)) : bytes
    }

    /// Copies a file to a name that does not exist yet, which is removed if that fails.
    ///
    /// - Parameter durability: whether the copy's data is synced. fsync(2).
    package static func copy(
        _ source: String, to target: String, mode: mode_t, _ durability: Durability
    ) throws(SystemError) {
        // Opening must neither block on, nor follow, something that is not a regular file.
        let input = try OwnedDescriptor.open(source, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        let output = try OwnedDescriptor.open(target, O_WRONLY | O_CREAT | O_EXCL, mode: mode)
        do {
            let raw = output.raw
            try forEachChunk(input.raw) { (chunk) throws(SystemError) in try writeAll(raw, chunk) }
            if durability == .synced { try sync(raw, target) }
            try output.close()
        } catch {
            unlink(target)
            throw SystemError(error.call, target, code: error.code)
        }
    }

    /// Whether data must survive a power loss.
    package enum Durability: Sendable { case unsynced, synced }

    /// Writes a file, replacing an existing one; not synced.
    package static func write(
        _ bytes: [UInt8], to path: String, mode: mode_t = 0o600
    ) throws(SystemError) {
        let file = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
        try writeAll(file.raw, bytes)
        try file.close()
    }

    /// The size in bytes; nil if the file does not exist. stat(2).
    package static func size(of path: String) throws(SystemError) -> Int64? {
        var status = stat()
        if stat(path, &status) == 0 { return Int64(status.st_size) }
        if errno == ENOENT || errno == ENOTDIR { return nil }
        throw SystemError("stat", path)
    }

    /// Creates a directory and its parents; an existing one is fine. mkdir(2).
    package static func makeDirectories(_ path: String, mode: mode_t = 0o700) throws(SystemError) {
        if mkdir(path, mode) == 0 || errno == EEXIST { return }
        guard errno == ENOENT, let parent = parent(of: path), parent != path else {
            throw SystemError("mkdir", path)
        }
        try makeDirectories(parent, mode: mode)
        if mkdir(path, mode) != 0, errno != EEXIST { throw SystemError("mkdir", path) }
    }

    /// The parent directory of `path`; nil if the path contains none.
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

    /// The names in a directory, except `.` and `..`; unordered. readdir(3).
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

    /// Removes a file, or a directory with its contents; links are not followed. Entries that
    /// cannot be removed stay. nftw(3) would need state beyond its callback.
    package static func removeTree(_ path: String) {
        if unlink(path) == 0 || errno == ENOENT { return }
        if let names = try? names(in: path) {
            for name in names { removeTree(path + "/" + name) }
        }
        _ = rmdir(path)
    }

    /// Whether a path still leads to an open file or directory, rather than to nothing or a
    /// replacement. fstat(2), lstat(2).
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

    /// Whether to wait for a lock.
    package enum LockWait: Sendable { case never, untilFree }
}
