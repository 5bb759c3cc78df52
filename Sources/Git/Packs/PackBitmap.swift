import Bytes
package import GitProtocol
import Glibc
package import Posix

/// A reachability bitmap as git writes it for a multi-pack-index. If that has one pack, it is the
/// pack's own bitmap except for the hash in its header, which is that of the index instead of the
/// pack's: in both, the objects are in the pack's order. gitformat-bitmap(5), gitformat-pack(5).
package enum PackBitmap {
    /// Writes the bitmap of a pack.
    ///
    /// - Parameters:
    ///   - source: the multi-pack-index's bitmap.
    ///   - pack: the path of the one pack.
    /// - Returns: false if `source` is not a bitmap of the known version.
    package static func write(
        from source: String, forPack pack: String, format: ObjectFormat, to path: String
    ) throws(SystemError) -> Bool {
        let length = format.rawLength
        let trailer = try tail(of: pack, length)
        guard let size = try Files.size(of: source).map(Int.init),
            size >= hashOffset + 2 * length
        else { return false }

        let input = try OwnedDescriptor.open(source, O_RDONLY)
        let output = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
        var header = try Files.read(
            input.raw, at: 0, count: hashOffset + length, subject: source)
        guard header.starts(with: signature), header.count == hashOffset + length else {
            return false
        }
        header.replaceSubrange(hashOffset..., with: trailer)
        var hash = MessageDigest(format == .sha1 ? .sha1 : .sha256)
        var offset = header.count
        var chunk = header
        while true {
            chunk.withUnsafeBytes { hash.update($0) }
            try writeAll(output.raw, chunk)
            if offset == size - length { break }
            chunk = try Files.read(
                input.raw, at: Int64(offset), count: min(size - length - offset, 1 << 18),
                subject: source)
            if chunk.isEmpty { return false }
            offset += chunk.count
        }
        try writeAll(output.raw, hash.finish())
        try output.close()
        return true
    }

    /// The position in the index of the commit of the first stored bitmap; nil if there is none.
    package static func firstCommit(
        in path: String, format: ObjectFormat
    ) throws(SystemError) -> Int? {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        func read(_ count: Int, at offset: Int) throws(SystemError) -> [UInt8] {
            try Files.read(file.raw, at: Int64(offset), count: count, subject: path)
        }
        let header = try read(hashOffset, at: 0)
        guard header.count == hashOffset, number(header[8...]) > 0 else { return nil }
        var offset = hashOffset + format.rawLength
        // One bitmap for each type of object comes first: a count of bits, one of words, the words,
        // and the position of the last run.
        for _ in 0..<4 {
            let counts = try read(8, at: offset)
            guard counts.count == 8 else { return nil }
            offset += 8 + 8 * number(counts[4...]) + 4
        }
        let entry = try read(4, at: offset)
        return entry.count == 4 ? number(entry[...]) : nil
    }

    /// Whether a file is the bitmap of the pack with this index: it ends in its own hash, and its header
    /// contains the pack's trailer.
    package static func isWhole(
        _ bitmap: borrowing MappedFile, forIndex index: borrowing MappedFile,
        _ format: ObjectFormat
    ) -> Bool {
        let length = format.rawLength
        guard bitmap.endsInItsHash(format), bitmap.bytes.starts(with: signature),
            bitmap.bytes.count >= hashOffset + 2 * length
        else { return false }
        let trailer = index.bytes.dropLast(length).suffix(length)
        return bitmap.bytes[hashOffset..<hashOffset + length].elementsEqual(trailer)
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> Int {
        bytes.prefix(4).reduce(0) { $0 << 8 | Int($1) }
    }

    /// `BITM` and version 1. Two bytes of flags and four of a count follow before the hash.
    private static let signature = Array("BITM".utf8) + [0, 1]
    private static let hashOffset = 12

    private static func tail(of path: String, _ length: Int) throws(SystemError) -> [UInt8] {
        guard let size = try Files.size(of: path), size >= Int64(length) else {
            throw SystemError("read", path, code: EINVAL)
        }
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        return try Files.read(
            file.raw, at: size - Int64(length), count: length, subject: path)
    }
}
