/// A running SHA-256, ending in a ``Digest``.
package struct SHA256: ~Copyable {
    private var hash = MessageDigest(.sha256)

    package init() {}

    /// Adds bytes.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        hash.update(bytes)
    }

    /// The digest of what was added.
    package consuming func finish() -> Digest {
        guard let digest = Digest(raw: hash.finish()) else {
            preconditionFailure("a SHA-256 has 32 bytes")
        }
        return digest
    }
}
