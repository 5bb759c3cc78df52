import Bytes
package import Posix

extension ObjectBody {
    /// A file's body, with the digest of its bytes.
    package static func file(hashing path: String) throws(SystemError) -> ObjectBody {
        let read = try FileDigest(of: path)
        return .file(path: path, size: read.size, digest: read.digest)
    }
}
