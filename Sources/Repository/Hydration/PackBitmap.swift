import Bytes
import GitProtocol
import Glibc
import ObjectStore
import Posix

/// A reachability bitmap as git writes it for a multi-pack-index. Where that has one pack, it is
/// that pack's own bitmap but for the hash in its header, which names the index, not the pack: the
/// objects are in the pack's order in both. gitformat-bitmap(5), gitformat-pack(5).
struct PackBitmap {
    /// Writes the bitmap of a pack.
    ///
    /// - Parameters:
    ///   - source: the multi-pack-index's bitmap.
    ///   - pack: the path of the one pack.
    /// - Returns: false where `source` is no bitmap of the version known.
    static func write(
        from source: String, forPack pack: String, format: ObjectFormat, to path: String
    ) throws(SystemError) -> Bool {
        let length = format.rawLength
        let trailer = try tail(of: pack, length)
        guard let size = try Files.size(of: source).map(Int.init),
            size >= hashOffset + 2 * length
        else { return false }

        let input = try OwnedDescriptor.open(source, O_RDONLY)
        let output = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
        var header = try read(hashOffset + length, from: input.raw)
        guard header.starts(with: signature), header.count == hashOffset + length else {
            return false
        }
        header.replaceSubrange(hashOffset..., with: trailer)
        var hash = MessageDigest(format == .sha1 ? .sha1 : .sha256)
        var left = size - length - header.count
        var chunk = header
        while true {
            chunk.withUnsafeBytes { hash.update($0) }
            try writeAll(output.raw, chunk)
            if left == 0 { break }
            chunk = try read(min(left, 1 << 18), from: input.raw)
            if chunk.isEmpty { return false }
            left -= chunk.count
        }
        try writeAll(output.raw, hash.finish())
        try output.close()
        return true
    }

    /// Where in the index the commit is that the first stored bitmap belongs to; nil: there is none.
    static func firstCommit(
        in path: String, format: ObjectFormat
    ) throws(SystemError) -> Int? {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        let header = try read(hashOffset, from: file.raw)
        guard header.count == hashOffset, number(header[8...]) > 0 else { return nil }
        var offset = hashOffset + format.rawLength
        // One for each type of object comes first: a count of bits, one of words, the words, and
        // where the last run begins.
        for _ in 0..<4 {
            try check("lseek", path) { lseek(file.raw, off_t(offset), SEEK_SET) }
            let counts = try read(8, from: file.raw)
            guard counts.count == 8 else { return nil }
            offset += 8 + 8 * number(counts[4...]) + 4
        }
        try check("lseek", path) { lseek(file.raw, off_t(offset), SEEK_SET) }
        let entry = try read(4, from: file.raw)
        return entry.count == 4 ? number(entry[...]) : nil
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> Int {
        bytes.prefix(4).reduce(0) { $0 << 8 | Int($1) }
    }

    /// `BITM`, version 1; then two bytes of flags and four of a count come before the hash.
    private static let signature = Array("BITM".utf8) + [0, 1]
    private static let hashOffset = 12

    private static func tail(of path: String, _ length: Int) throws(SystemError) -> [UInt8] {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        try check("lseek", path) { lseek(file.raw, -off_t(length), SEEK_END) }
        return try Files.readToEnd(file.raw, limit: length, subject: path)
    }

    private static func read(_ count: Int, from file: Int32) throws(SystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let read = try bytes.withMutableBytes { (buffer) throws(SystemError) in
            try readSome(file, into: buffer)
        }
        return Array(bytes.prefix(read))
    }
}
