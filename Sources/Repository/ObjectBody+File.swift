import Bytes
package import ObjectStore
package import Posix

extension ObjectBody {
    /// A file's body, with the digest of its bytes.
    package static func file(hashing path: String) throws(SystemError) -> ObjectBody {
        let read = try FileDigest(of: path)
        return .file(path: path, size: read.size, digest: read.digest)
    }
}

extension HashedFile {
    /// The file as an object is stored.
    package var body: ObjectBody { .file(path: path, size: size, digest: digest) }
}

extension VerifiedPack {
    package var pack: ObjectBody { packFile.body }
    package var index: ObjectBody { indexFile.body }
}
