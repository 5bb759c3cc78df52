import Glibc
import Posix

/// A file's modification time in nanoseconds, stored in two parts so that any time of a file fits
/// without overflow.
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

/// The result of fstat(2) for an object's file, from which its ETag is computed.
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

    /// nil if the file does not exist.
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

    /// The object's ETag: modification time, size and inode, in hex digits.
    ///
    /// It never repeats for another write of the same key, as long as only this store writes there:
    ///
    /// - A published file is never written again, so one open descriptor returns the body and the
    ///   tag of one state: a reader cannot mix two writes.
    /// - Every publication and removal of a key happens under the key's lock (``KeyLock``), so they
    ///   have an order.
    /// - The replacement of a file has a strictly later modification time, whatever the clock says.
    ///   It is set before the publication, under that lock, and read back
    ///   (``stamp(_:_:laterThan:)``).
    /// - A removal first raises the lock's floor above the removed file's time, and a new file of a
    ///   key without one gets a time above the floor.
    ///
    /// So the times of a key's states only grow. A state that was lost in a power failure was never
    /// reported as written, and processes that had read its tag ended with the machine. Size and
    /// inode are included for changes by others: a copy that is restored with its old time has
    /// another inode.
    var etag: ETag {
        let parts = [
            hex(modified.seconds) + "." + hex(modified.nanoseconds), hex(size), hex(inode),
        ]
        return ETag(quoting: parts.joined(separator: "-"))
    }

    private func hex(_ value: some BinaryInteger) -> String { String(value, radix: 16) }

    /// Sets a file's modification time to now, or later if `floor` is not in the past, and reads
    /// back the time that the file system stored: some store whole seconds, or multiples of two.
    /// futimens(3).
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
        // The file system cannot store a later time: its range ends in 2038 or 2446.
        throw SystemError("futimens", path, code: EOVERFLOW)
    }
}
