import Glibc

/// The free space of a file system for this user. statvfs(3).
package struct DiskSpace: Sendable {
    /// The bytes that this user can still write.
    package let freeBytes: Int64
    private let totalBytes: Int64
    /// The files that this user can still create, and their total number; 0 if the file system has
    /// no such limit.
    private let freeFiles: Int64
    private let totalFiles: Int64

    /// Reads the state of the file system of an existing path.
    package init(at path: String) throws(SystemError) {
        var space = statvfs()
        try check("statvfs", path) { statvfs(path, &space) }
        freeBytes = Self.bytes(UInt64(space.f_bavail), of: UInt64(space.f_frsize))
        totalBytes = Self.bytes(UInt64(space.f_blocks), of: UInt64(space.f_frsize))
        freeFiles = Int64(clamping: space.f_favail)
        totalFiles = Int64(clamping: space.f_files)
    }

    private static func bytes(_ blocks: UInt64, of size: UInt64) -> Int64 {
        let (product, isTooLarge) = blocks.multipliedReportingOverflow(by: size)
        return isTooLarge ? .max : Int64(clamping: product)
    }

    /// The free bytes below which a large file system counts as full.
    private static let reserve: Int64 = 64 << 20

    /// The free files below which a large file system counts as full.
    private static let fileReserve: Int64 = 1000

    /// The free fraction below which a small file system counts as full, one that the reserves
    /// above would mostly consist of.
    private static let fraction: Int64 = 50

    /// Whether the file system is full, or would be after `bytes` more were written.
    package func isShort(of bytes: Int64 = 0) -> Bool {
        if freeBytes - bytes < min(Self.reserve, totalBytes / Self.fraction) { return true }
        return totalFiles > 0 && freeFiles < min(Self.fileReserve, totalFiles / Self.fraction)
    }
}
