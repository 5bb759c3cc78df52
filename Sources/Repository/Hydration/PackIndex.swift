import GitProtocol
import Glibc
import ObjectStore
import Posix

/// A pack's index as a derived object: it is used only if it is whole and belongs to its pack.
/// gitformat-pack(5).
enum PackIndex {
    /// Whether the index at `index` carries its own checksum, and the trailer of the pack at `pack`.
    static func isGood(
        _ index: String, forPack pack: String, format: ObjectFormat
    ) throws(SystemError) -> Bool {
        let length = format.rawLength
        let file = try OwnedDescriptor.open(index, O_RDONLY)
        guard let size = try Files.size(of: index), size > Int64(2 * length + 8),
            let packSize = try Files.size(of: pack), packSize > Int64(length)
        else { return false }

        // All but the last hash is hashed; the hash before it is the pack's trailer.
        var hash = MessageDigest(format == .sha1 ? .sha1 : .sha256)
        var tail: [UInt8] = []
        var left = Int(size) - length
        var chunk = [UInt8](repeating: 0, count: 1 << 18)
        while left > 0 {
            let wanted = min(left, chunk.count)
            let count = try chunk.withMutableBytes { (buffer) throws(SystemError) in
                try readSome(
                    file.raw, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]))
            }
            if count == 0 { return false }
            chunk.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            tail = Array((tail + chunk[max(0, count - length)..<count]).suffix(length))
            left -= count
        }
        let own = try Files.readToEnd(file.raw, limit: length, subject: index)
        let trailer = try trailer(of: pack, length: length)
        return own == hash.finish() && tail == trailer
    }

    /// What a look at the ends of a pack and its index tells, for a pair that was whole once: the
    /// number of objects; nil where they do not belong together, or one was cut or grew.
    ///
    /// Reads some hundred bytes; git looks at the same when it opens a pack.
    static func objects(
        _ index: String, forPack pack: String, format: ObjectFormat
    ) throws(SystemError) -> Int? {
        let length = format.rawLength
        guard let (head, tail) = try ends(of: index, head: 1032, tail: 2 * length),
            let (start, trailer) = try ends(of: pack, head: 12, tail: length),
            start.starts(with: "PACK".utf8), tail.prefix(length).elementsEqual(trailer),
            trailer.contains(where: { $0 != 0 })
        else { return nil }
        // Version 1 has no header before the 256 counts, the last of which is of all objects.
        let isVersion2 = head.starts(with: [0xff, 0x74, 0x4f, 0x63])
        let count = isVersion2 ? head[1028..<1032] : head[1020..<1024]
        return count.reduce(0) { $0 << 8 | Int($1) }
    }

    /// The first and the last bytes of a regular file; nil: it is another, or shorter than both.
    private static func ends(
        of path: String, head: Int, tail: Int
    ) throws(SystemError) -> (head: [UInt8], tail: [UInt8])? {
        let file = try OwnedDescriptor.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        var status = stat()
        try check("fstat", path) { fstat(file.raw, &status) }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_size >= off_t(head + tail) else {
            return nil
        }
        var first = [UInt8](repeating: 0, count: head)
        var last = [UInt8](repeating: 0, count: tail)
        let (read, readLast) = try (
            check("pread", path) { pread(file.raw, &first, head, 0) },
            check("pread", path) { pread(file.raw, &last, tail, status.st_size - off_t(tail)) }
        )
        return read == head && readLast == tail ? (first, last) : nil
    }

    /// The last hash of a pack: that of all before it.
    private static func trailer(of pack: String, length: Int) throws(SystemError) -> [UInt8] {
        let file = try OwnedDescriptor.open(pack, O_RDONLY)
        try check("lseek", pack) { lseek(file.raw, -off_t(length), SEEK_END) }
        return try Files.readToEnd(file.raw, limit: length, subject: pack)
    }
}
