import Bytes
import ObjectStore
import Posix

/// The hashes of each part of a body, read in order, and the SHA-256 of all parts together.
///
/// A single PUT is signed with the body's digest, and the sent bytes are compared with it. Parts
/// are signed and compared one by one; the digest of all of them proves that together they are the
/// body.
struct PartDigests: ~Copyable {
    private let body: ObjectBody
    private let takesMD5: Bool
    private var whole = SHA256()

    /// The hashes of one part.
    struct Part: Sendable {
        let digest: Digest
        /// nil if it is not computed.
        let md5: [UInt8]?
    }

    init(of body: ObjectBody, takingMD5 takesMD5: Bool) {
        self.body = body
        self.takesMD5 = takesMD5
    }

    /// Reads the next part and computes its hashes.
    mutating func next(_ range: Range<Int64>) throws(SystemError) -> Part {
        let reader = try BodyReader(range, of: body)
        var part = SHA256()
        var md5: MD5? = takesMD5 ? MD5() : nil
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = try chunk.withMutableBytes { (buffer) throws(SystemError) in
                try reader.read(into: buffer)
            }
            if count == 0 { break }
            chunk.withUnsafeBytes { buffer in
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                part.update(bytes)
                whole.update(bytes)
                md5?.update(bytes)
            }
        }
        return Part(digest: part.finish(), md5: md5.take()?.finish())
    }

    /// The digest of all parts that were read.
    consuming func finish() -> Digest { whole.finish() }
}
