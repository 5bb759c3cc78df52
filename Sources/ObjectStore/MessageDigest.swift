import COpenSSL

/// A running hash of one of the kinds that git and the store use. EVP_DigestUpdate(3).
package struct MessageDigest: ~Copyable {
    private let context: OpaquePointer
    private let length: Int

    /// A hash function.
    package enum Algorithm: Sendable { case sha1, sha256 }

    package init(_ algorithm: Algorithm) {
        let function =
            switch algorithm {
            case .sha1: EVP_sha1()
            case .sha256: EVP_sha256()
            }
        // Fails only without memory, or where libcrypto lacks the function: nothing can go on then.
        guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, function, nil) == 1 else {
            preconditionFailure("libcrypto has no \(algorithm)")
        }
        self.context = context
        length = algorithm == .sha1 ? 20 : 32
    }

    deinit {
        EVP_MD_CTX_free(context)
    }

    /// Adds bytes.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        precondition(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1)
    }

    /// The raw hash of what was added.
    package consuming func finish() -> [UInt8] {
        var raw = [UInt8](repeating: 0, count: length)
        precondition(EVP_DigestFinal_ex(context, &raw, nil) == 1)
        return raw
    }
}
