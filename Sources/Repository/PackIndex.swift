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

    /// The last hash of a pack: that of all before it.
    private static func trailer(of pack: String, length: Int) throws(SystemError) -> [UInt8] {
        let file = try OwnedDescriptor.open(pack, O_RDONLY)
        try check("lseek", pack) { lseek(file.raw, -off_t(length), SEEK_END) }
        return try Files.readToEnd(file.raw, limit: length, subject: pack)
    }
}
