/// The SHA-256 of some bytes: 32 bytes, written as 64 lower-case hex digits.
package struct Digest: Hashable, Sendable, CustomStringConvertible {
    /// 64 lower-case hex digits.
    package let hex: String

    /// Takes 64 lower-case hex digits; nil for anything else.
    package init?(hex bytes: some Collection<UInt8>) {
        guard bytes.count == 64, bytes.allSatisfy(Self.isLowerHex) else { return nil }
        hex = String(decoding: bytes, as: UTF8.self)
    }

    /// Takes 64 lower-case hex digits; nil for anything else.
    package init?(hex string: String) {
        self.init(hex: string.utf8)
    }

    /// The digest itself, 32 raw bytes; nil for another number of them.
    package init?(raw bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        hex = String(decoding: bytes.flatMap(Self.hexDigits), as: UTF8.self)
    }

    /// The digest of `bytes`.
    package init(of bytes: [UInt8]) {
        var hasher = SHA256()
        bytes.withUnsafeBytes { hasher.update($0) }
        self = hasher.finish()
    }

    /// The digits as bytes: a pointer's body.
    package var bytes: [UInt8] { Array(hex.utf8) }

    package var description: String { hex }

    private static func isLowerHex(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte)
    }

    private static func hexDigits(_ byte: UInt8) -> [UInt8] {
        [byte >> 4, byte & 15].map { $0 < 10 ? 0x30 + $0 : 0x57 + $0 }
    }
}
