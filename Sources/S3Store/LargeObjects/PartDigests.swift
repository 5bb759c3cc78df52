import ObjectStore
import Posix

/// The SHA-256 of each part of a body, read in order, and of all that was read for it.
///
/// A single PUT is signed with the body's digest, so that a backend that checks refuses bytes that
/// changed since they were hashed. Parts are signed one by one: that they make up the body is told
/// by the digest of all of them.
struct PartDigests: ~Copyable {
    private let body: ObjectBody
    private var whole = SHA256()

    init(of body: ObjectBody) { self.body = body }

    /// The digest of the next part.
    mutating func next(_ range: Range<Int64>) throws(SystemError) -> Digest {
        let source = try UploadSource(range, of: body)
        var part = SHA256()
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = try chunk.withMutableBytes { (buffer) throws(SystemError) in
                try source.read(into: buffer)
            }
            if count == 0 { return part.finish() }
            chunk.withUnsafeBytes { buffer in
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                part.update(bytes)
                whole.update(bytes)
            }
        }
    }

    /// The digest of all parts that were read.
    consuming func finish() -> Digest { whole.finish() }
}
