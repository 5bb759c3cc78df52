import COpenSSL

/// A running MD5. It finds accidental damage only: nothing is named by it. RFC 1321;
/// EVP_DigestUpdate(3).
package struct MD5: ~Copyable {
    private let context: OpaquePointer

    /// nil where libcrypto has none, as in FIPS mode.
    package init?() {
        guard let context = EVP_MD_CTX_new() else { return nil }
        guard EVP_DigestInit_ex(context, EVP_md5(), nil) == 1 else {
            EVP_MD_CTX_free(context)
            return nil
        }
        self.context = context
    }

    deinit {
        EVP_MD_CTX_free(context)
    }

    /// The 16 bytes for `bytes`; nil where libcrypto has no MD5.
    package static func hash(of bytes: [UInt8]) -> [UInt8]? {
        guard var hash = MD5() else { return nil }
        bytes.withUnsafeBytes { hash.update($0) }
        return hash.finish()
    }

    /// Adds bytes.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        precondition(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1)
    }

    /// The 16 bytes for what was added.
    package consuming func finish() -> [UInt8] {
        var raw = [UInt8](repeating: 0, count: 16)
        precondition(EVP_DigestFinal_ex(context, &raw, nil) == 1)
        return raw
    }
}
