import COpenSSL
import Glibc
package import Posix

/// A running SHA-1 or SHA-256, the hashes of git and of the store. EVP_DigestUpdate(3).
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

    /// The raw hash of the bytes that were added.
    package consuming func finish() -> [UInt8] {
        var raw = [UInt8](repeating: 0, count: length)
        precondition(EVP_DigestFinal_ex(context, &raw, nil) == 1)
        return raw
    }
}

/// A running MD5. It only finds accidental damage; no object gets its name from it. RFC 1321;
/// EVP_DigestUpdate(3).
package struct MD5: ~Copyable {
    private let context: OpaquePointer

    /// nil if libcrypto does not offer it, as in FIPS mode.
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

    /// The MD5 of `bytes`, 16 bytes; nil if libcrypto does not offer MD5.
    package static func hash(of bytes: [UInt8]) -> [UInt8]? {
        guard var hash = MD5() else { return nil }
        bytes.withUnsafeBytes { hash.update($0) }
        return hash.finish()
    }

    /// Adds bytes.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        precondition(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1)
    }

    /// The MD5, 16 bytes, of the bytes that were added.
    package consuming func finish() -> [UInt8] {
        var raw = [UInt8](repeating: 0, count: 16)
        precondition(EVP_DigestFinal_ex(context, &raw, nil) == 1)
        return raw
    }
}

/// HMAC-SHA-256. RFC 2104; HMAC(3).
package enum HMACSHA256 {
    /// The 32 bytes that authenticate `message` under `key`.
    package static func authenticate(_ message: [UInt8], key: [UInt8]) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: 32)
        var length: UInt32 = 0
        let made = HMAC(
            EVP_sha256(), key, Int32(key.count), message, message.count, &result, &length)
        // Fails only without memory, or where libcrypto lacks SHA-256: nothing can go on then.
        precondition(made != nil && length == 32, "libcrypto has no HMAC-SHA-256")
        return result
    }
}

/// The SHA-256 of a file's bytes, and their number.
package struct FileDigest: Sendable {
    package let digest: Digest
    /// Bytes.
    package let size: Int64

    /// Reads the file at `path`. read(2).
    package init(of path: String) throws(SystemError) {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        try self.init(reading: file.raw)
    }

    /// Reads an open file to its end, and passes on each chunk. read(2).
    package init(
        reading descriptor: Int32,
        _ consume: (UnsafeRawBufferPointer) throws(SystemError) -> Void = { _ in }
    ) throws(SystemError) {
        var hash = SHA256()
        var size: Int64 = 0
        try Files.forEachChunk(descriptor) { (chunk) throws(SystemError) in
            hash.update(chunk)
            size += Int64(chunk.count)
            try consume(chunk)
        }
        digest = hash.finish()
        self.size = size
    }
}
