import Bytes
package import GitProtocol
import Glibc
package import Posix

/// A pack's index, which is derived: it is used only if it is complete and belongs to its pack.
/// gitformat-pack(5).
///
/// A value is the ids of the pack's objects in the order of the index. The file is mapped, so a large
/// one needs no memory of its own.
package struct PackIndex: ~Copyable {
    /// The number of objects.
    package let count: Int
    private let file: MappedFile
    private let first: UnsafeRawPointer
    /// The distance between two ids, and the length of one, in bytes.
    private let stride: Int
    private let length: Int

    private static let signature: [UInt8] = [0xff, 0x74, 0x4f, 0x63]
    /// The bytes of the signature and the version number, which version 1 lacks.
    private static let headerLength = 8
    /// The 256 counts of objects, the last of which counts all.
    private static let fanoutLength = 256 * 4

    /// Opens an index; nil if it is not one, or is shorter than it claims.
    package init?(_ path: String, format: ObjectFormat) throws(SystemError) {
        let least = Int64(Self.headerLength + Self.fanoutLength)
        if let size = try Files.size(of: path), size < least { return nil }
        // Scratch workspaces have symbolic links to indexes.
        let file = try MappedFile(path, O_RDONLY)
        let length = format.rawLength
        let isVersion2 = file.bytes.starts(with: Self.signature)
        let table = (isVersion2 ? Self.headerLength : 0) + Self.fanoutLength
        // In version 1 each id follows its offset.
        let stride = isVersion2 ? length : 4 + length
        guard let start = file.bytes.baseAddress, let count = file.number(at: table - 4, bytes: 4),
            !isVersion2 || file.number(at: 4, bytes: 4) == 2,
            table + count * stride <= file.bytes.count
        else { return nil }
        self.file = file
        self.length = length
        self.stride = stride
        self.count = count
        first = start + table + (isVersion2 ? 0 : 4)
    }

    /// Compares the id at a position with one of another pack: negative, zero, positive.
    package func order(_ position: Int, _ other: borrowing PackIndex, _ otherPosition: Int) -> Int32
    {
        memcmp(pointer(position), other.pointer(otherPosition), length)
    }

    /// Whether an object is in the pack.
    package func contains(_ id: ObjectID) -> Bool {
        let raw = id.raw
        guard raw.count == length else { return false }
        return raw.withUnsafeBytes { wanted in
            var low = 0
            var high = count
            while low < high {
                let middle = (low + high) / 2
                let order = wanted.baseAddress.map { memcmp(pointer(middle), $0, length) } ?? 0
                if order == 0 { return true }
                if order < 0 { low = middle + 1 } else { high = middle }
            }
            return false
        }
    }

    /// The id at a position; nil if the position is out of range.
    package subscript(position: Int) -> ObjectID? {
        guard (0..<count).contains(position) else { return nil }
        let raw = UnsafeRawBufferPointer(start: pointer(position), count: length)
        return ObjectID(raw.flatMap(Hex.digits))
    }

    private func pointer(_ position: Int) -> UnsafeRawPointer { first + position * stride }
}

// MARK: An index and its pack

extension PackIndex {
    /// The contents of an index that carries its own checksum.
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
        let fanout = head.starts(with: signature) ? headerLength : 0
        let end = fanout + fanoutLength
        return head[end - 4..<end].reduce(0) { $0 << 8 | Int($1) }
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
