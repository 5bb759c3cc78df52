package import Bytes
import ObjectStore

/// A pack of one blob with its index, made without git: thousands of them in a moment.
/// gitformat-pack(5).
package struct SmallPack {
    package let pack: [UInt8]
    package let index: [UInt8]
    package var digest: Digest { Digest(of: pack) }

    /// - Parameter blob: at most 2047 bytes.
    package init(blob text: String) throws {
        let content = Array(text.utf8)
        let count = content.count
        // Type 3 and the size in 4 and 7 bits, then the content, stored in a zlib stream.
        let size = [UInt8(0xb0 | count & 15), UInt8(count >> 4)]
        let stored: [UInt8] =
            [0x78, 0x01, 0x01] + [UInt8(count & 255), UInt8(count >> 8)]
            + [UInt8(~count & 255), UInt8(~count >> 8 & 255)] + content
            + Self.bigEndian(Self.adler32(content))
        let entry = size + stored
        let body = Array("PACK".utf8) + Self.bigEndian(2) + Self.bigEndian(1) + entry
        let trailer = Self.sha1(body)
        pack = body + trailer

        let id = Self.sha1(Array("blob \(count)\0".utf8) + content)
        var index: [UInt8] = [0xff, 0x74, 0x4f, 0x63] + Self.bigEndian(2)
        for first in 0..<256 { index += Self.bigEndian(first < Int(id[0]) ? 0 : 1) }
        index += id + Self.bigEndian(Self.crc32(entry)) + Self.bigEndian(12) + trailer
        self.index = index + Self.sha1(index)
    }

    private static func bigEndian(_ number: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
    }

    private static func sha1(_ bytes: [UInt8]) -> [UInt8] {
        var hash = MessageDigest(.sha1)
        bytes.withUnsafeBytes { hash.update($0) }
        return hash.finish()
    }

    private static func adler32(_ bytes: [UInt8]) -> UInt32 {
        var (low, high): (UInt32, UInt32) = (1, 0)
        for byte in bytes {
            low = (low + UInt32(byte)) % 65521
            high = (high + low) % 65521
        }
        return high << 16 | low
    }

    private static func crc32(_ bytes: [UInt8]) -> UInt32 {
        ~bytes.reduce(~0) { sum, byte in
            (0..<8).reduce(sum ^ UInt32(byte)) { sum, _ in
                sum & 1 == 1 ? sum >> 1 ^ 0xedb8_8320 : sum >> 1
            }
        }
    }
}
