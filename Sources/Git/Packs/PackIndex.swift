package import GitProtocol
import Glibc
package import Posix

/// A pack's index, which is derived: it is used only if it is complete and belongs to its pack.
/// gitformat-pack(5).
package enum PackIndex {
    /// What an index contains, if it carries its own checksum.
    struct Contents {
        let file: HashedFile
        let objects: Int
        /// The trailer of the pack that it belongs to.
        let packTrailer: [UInt8]
    }

    /// Reads an index once; nil if it does not carry its own checksum.
    static func read(_ path: String, format: ObjectFormat) throws(SystemError) -> Contents? {
        let file = try ChecksummedFile(path, format: format)
        guard file.isIntact, file.head.count == ChecksummedFile.headLength else { return nil }
        return Contents(
            file: file.file, objects: objects(file.head),
            packTrailer: Array(file.tail.dropLast(format.rawLength)))
    }

    /// Whether the index at `index` carries its own checksum, and the trailer and the number of
    /// objects of the pack at `pack`.
    package static func isGood(
        _ index: String, forPack pack: String, format: ObjectFormat
    ) throws(SystemError) -> Bool {
        let length = format.rawLength
        guard let contents = try read(index, format: format),
            let (head, trailer) = try ends(
                of: pack, head: PackHeader.length, tail: length, O_RDONLY),
            let header = PackHeader(head)
        else { return false }
        return contents.packTrailer == trailer && contents.objects == header.objects
    }

    /// The number of objects of a pair that was complete once, read from the ends of the pack and
    /// its index; nil if they do not belong together, or one was truncated or extended.
    ///
    /// Reads a few hundred bytes; git reads the same when it opens a pack.
    package static func objects(
        _ index: String, forPack pack: String, format: ObjectFormat
    ) throws(SystemError) -> Int? {
        let length = format.rawLength
        guard
            let (head, tail) = try ends(
                of: index, head: ChecksummedFile.headLength, tail: 2 * length),
            let (start, trailer) = try ends(of: pack, head: PackHeader.length, tail: length),
            start.starts(with: "PACK".utf8), tail.prefix(length).elementsEqual(trailer),
            trailer.contains(where: { $0 != 0 })
        else { return nil }
        return objects(head)
    }

    /// The number of objects, by the first bytes of an index.
    private static func objects(_ head: [UInt8]) -> Int {
        // Version 1 has no header before the 256 counts, the last of which counts all objects.
        let isVersion2 = head.starts(with: [0xff, 0x74, 0x4f, 0x63])
        let count = isVersion2 ? head[1028..<1032] : head[1020..<1024]
        return count.reduce(0) { $0 << 8 | Int($1) }
    }

    /// The first and the last bytes of a regular file; nil if the path is not one, or is shorter
    /// than both together.
    private static func ends(
        of path: String, head: Int, tail: Int, _ flags: Int32 = O_RDONLY | O_NOFOLLOW
    ) throws(SystemError) -> (head: [UInt8], tail: [UInt8])? {
        let file = try OwnedDescriptor.open(path, flags | O_NONBLOCK)
        var status = stat()
        try check("fstat", path) { fstat(file.raw, &status) }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_size >= off_t(head + tail) else {
            return nil
        }
        let first = try Files.read(file.raw, at: 0, count: head, subject: path)
        let last = try Files.read(
            file.raw, at: Int64(status.st_size) - Int64(tail), count: tail, subject: path)
        return first.count == head && last.count == tail ? (first, last) : nil
    }
}
