import Glibc
import ObjectStore
import Posix

extension ObjectBody {
    /// A file's body, with the digest of its bytes.
    static func file(hashing path: String) throws(RepositoryError) -> ObjectBody {
        try local("read '\(path)'") { () throws(SystemError) in
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
                chunk.withUnsafeBytes {
                    hash.update(UnsafeRawBufferPointer(rebasing: $0[..<count]))
                }
            }
            return .file(path: path, size: size, digest: hash.finish())
        }
    }
}
