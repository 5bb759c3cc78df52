import Glibc
package import Posix

/// The SHA-256 of a file's bytes, and how many they are.
package struct FileDigest: Sendable {
    package let digest: Digest
    /// Bytes.
    package let size: Int64

    /// Reads the file, piece by piece. read(2).
    package init(of path: String) throws(SystemError) {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        var hash = SHA256()
        var size: Int64 = 0
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = try chunk.withMutableBytes { (buffer) throws(SystemError) in
                try readSome(file.raw, into: buffer)
            }
            if count == 0 { break }
            size += Int64(count)
            chunk.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        }
        digest = hash.finish()
        self.size = size
    }
}
