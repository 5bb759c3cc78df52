/// A SHA-256: 32 bytes, written as 64 lowercase hex digits.
package struct Digest: Hashable, Sendable, CustomStringConvertible {
    /// 64 lowercase hex digits.
    package let hex: String

    /// Parses 64 lowercase hex digits; nil if it is anything else.
    package init?(hex bytes: some Collection<UInt8>) {
        guard bytes.count == 64, bytes.allSatisfy({ Hex.value(ofLowercase: $0) != nil }) else {
            return nil
        }
        hex = String(decoding: bytes, as: UTF8.self)
    }

    /// Parses 64 lowercase hex digits; nil if it is anything else.
    package init?(hex string: String) {
        self.init(hex: string.utf8)
    }

    /// Takes the 32 raw bytes; nil if there are more or fewer.
    package init?(raw bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        hex = Hex.encode(bytes)
    }

    /// The digest of `bytes`.
    package init(of bytes: [UInt8]) {
        var hasher = SHA256()
        bytes.withUnsafeBytes { hasher.update($0) }
        self = hasher.finish()
    }

    /// The digits as bytes, which are a pointer's body.
    package var bytes: [UInt8] { Array(hex.utf8) }

    package var description: String { hex }
}

/// A running SHA-256, ending in a ``Digest``.
package struct SHA256: ~Copyable {
    private var hash = MessageDigest(.sha256)

    package init() {}

    /// Adds bytes.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        hash.update(bytes)
    }

    /// The digest of the bytes that were added.
    package consuming func finish() -> Digest {
        guard let digest = Digest(raw: hash.finish()) else {
            preconditionFailure("a SHA-256 has 32 bytes")
        }
        return digest
    }
}
