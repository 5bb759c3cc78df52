import Glibc
import Posix

/// A file's time of modification, to the nanosecond. Kept in two parts: any time that a file can
/// carry fits, without overflow.
struct FileTime: Comparable, Sendable {
    let seconds: Int
    let nanoseconds: Int

    init(_ time: timespec) {
        seconds = time.tv_sec
        nanoseconds = time.tv_nsec
    }

    private init(seconds: Int, nanoseconds: Int) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    /// clock_gettime(2).
    static var now: FileTime {
        var time = Glibc.timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return FileTime(time)
    }

    var timespec: Glibc.timespec { Glibc.timespec(tv_sec: seconds, tv_nsec: nanoseconds) }

    /// The next nanosecond.
    var successor: FileTime {
        nanoseconds < 999_999_999
            ? FileTime(seconds: seconds, nanoseconds: nanoseconds + 1)
            : FileTime(seconds: seconds + 1, nanoseconds: 0)
    }

    func adding(seconds more: Int) -> FileTime {
        FileTime(seconds: seconds + more, nanoseconds: nanoseconds)
    }

    static func < (left: FileTime, right: FileTime) -> Bool {
        (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds)
    }
}

/// What fstat(2) says of an object's file, from which its ETag is made.
struct FileStatus: Sendable {
    /// Bytes.
    let size: Int64
    let modified: FileTime
    let inode: UInt64
    let links: UInt64
    let isRegular: Bool

    init(_ descriptor: Int32, _ path: String) throws(SystemError) {
        var status = stat()
        try check("fstat", path) { fstat(descriptor, &status) }
        self.init(status)
    }

    /// nil: there is no such file.
    init?(of path: String) throws(SystemError) {
        var status = stat()
        if stat(path, &status) != 0 {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw SystemError("stat", path)
        }
        self.init(status)
    }

    private init(_ status: stat) {
        size = Int64(status.st_size)
        modified = FileTime(status.st_mtim)
        inode = UInt64(status.st_ino)
        links = UInt64(status.st_nlink)
        isRegular = status.st_mode & S_IFMT == S_IFREG
    }

    /// The object's ETag: time of modification, size and inode, in hex digits.
    ///
    /// It never repeats for another write of the same key, as long as only this store writes there:
    ///
    /// - A published file is never written again, so that one open descriptor gives body and tag of
    ///   one state: a reader cannot straddle a writer.
    /// - Every publication and removal of a key happens under the key's lock (``KeyLock``), so they
    ///   have an order.
    /// - What replaces a file has a strictly later time of modification than it: set before the
    ///   publication, under that lock, and read back, whatever the clock says (``stamp(_:_:laterThan:)``).
    /// - A removal first moves the lock's floor past the removed file's time, and what is published
    ///   where nothing is lies above the floor.
    ///
    /// So the times of a key's states only grow. A state lost in a power cut was never reported as
    /// written, and who had read its tag went down with the machine. Size and inode add nothing to
    /// this; they are there for what others may do to the files: a copy restored with its old time
    /// is another inode.
    var etag: ETag {
        let parts = [
            hex(modified.seconds) + "." + hex(modified.nanoseconds), hex(size), hex(inode),
        ]
        return ETag(quoting: parts.joined(separator: "-"))
    }

    private func hex(_ value: some BinaryInteger) -> String { String(value, radix: 16) }

    /// Sets a file's time of modification to now, or later where `floor` is not in the past, and
    /// reads back what the file system kept of it: some keep whole seconds, or two. futimens(3).
    static func stamp(
        _ descriptor: Int32, _ path: String, laterThan floor: FileTime?
    ) throws(SystemError) -> FileStatus {
        let now = FileTime.now
        let earliest = floor.map { max(now, $0.successor) } ?? now
        for delay in [0, 1, 2, 4, 60] {
            let time = earliest.adding(seconds: delay).timespec
            try check("futimens", path) { futimens(descriptor, [time, time]) }
            let status = try FileStatus(descriptor, path)
            guard let floor, status.modified <= floor else { return status }
        }
        // The end of the file system's time, 2038 or 2446: no later one can be set.
        throw SystemError("futimens", path, code: EOVERFLOW)
    }
}
