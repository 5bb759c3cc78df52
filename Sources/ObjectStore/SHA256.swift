import COpenSSL

/// A running SHA-256. EVP_DigestUpdate(3).
package struct SHA256: ~Copyable {
    private let context: OpaquePointer

    package init() {
        // Fails only without memory, or where libcrypto lacks SHA-256: nothing can go on then.
        guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1
        else { preconditionFailure("libcrypto has no SHA-256") }
        self.context = context
    }

    deinit {
        EVP_MD_CTX_free(context)
    }

    /// Adds bytes.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1 else {
            preconditionFailure("libcrypto cannot go on with a SHA-256")
        }
    }

    /// The digest of what was added.
    package consuming func finish() -> Digest {
        var raw = [UInt8](repeating: 0, count: 32)
        guard EVP_DigestFinal_ex(context, &raw, nil) == 1, let digest = Digest(raw: raw) else {
            preconditionFailure("libcrypto cannot finish a SHA-256")
        }
        return digest
    }
}
