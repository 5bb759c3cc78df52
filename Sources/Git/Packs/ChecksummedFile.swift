package import Bytes
package import GitProtocol
import Glibc
package import Posix

/// One pass over a file that ends in a hash of everything before it, as packs, indexes, bitmaps and
/// commit graphs do. gitformat-pack(5), gitformat-bitmap(5), gitformat-commit-graph(5).
///
/// The SHA-256 that names the file, git's own hash, and the first and last bytes all come from the
/// same reading, so they describe the same bytes, whatever happens to the file in between.
package struct ChecksummedFile {
    package let file: HashedFile
    /// Up to ``headLength`` bytes from the beginning.
    let head: [UInt8]
    /// Up to twice the length of a hash from the end. The last hash is the file's own.
    let tail: [UInt8]
    /// Whether the last hash is that of everything before it.
    package let isIntact: Bool

    /// The size in bytes of an index's header and fan-out table.
    static let headLength = 1032

    /// The hash at the file's end.
    var trailer: ArraySlice<UInt8> { tail.suffix(hashLength) }

    private let hashLength: Int

    /// Reads the file once. read(2).
    package init(_ path: String, format: ObjectFormat) throws(SystemError) {
        let length = format.rawLength
        let descriptor = try OwnedDescriptor.open(path, O_RDONLY)
        var sha256 = SHA256()
        var own = MessageDigest(format == .sha1 ? .sha1 : .sha256)
        var head: [UInt8] = []
        var size: Int64 = 0
        // git does not hash the end of the file, which is known only once nothing follows it.
        var held: [UInt8] = []
        try Files.forEachChunk(descriptor.raw) { (chunk) throws(SystemError) in
            size += Int64(chunk.count)
            sha256.update(chunk)
            head += chunk.prefix(Self.headLength - head.count)
            let ready = max(0, held.count + chunk.count - 2 * length)
            let (old, new) = (min(ready, held.count), ready - min(ready, held.count))
            held.withUnsafeBytes { own.update(UnsafeRawBufferPointer(rebasing: $0[..<old])) }
            own.update(UnsafeRawBufferPointer(rebasing: chunk[..<new]))
            held = held.dropFirst(old) + Array(chunk[new...])
        }
        tail = held
        held.dropLast(length).withUnsafeBytes { own.update($0) }
        let hash = own.finish()
        isIntact = size > Int64(length) && tail.suffix(length).elementsEqual(hash)
        file = HashedFile(path: path, size: size, digest: sha256.finish())
        self.head = head
        hashLength = length
    }
}

/// A file with the SHA-256 of its bytes, as they were read.
package struct HashedFile: Sendable {
    package let path: String
    /// Bytes.
    package let size: Int64
    package let digest: Digest
}

extension MappedFile {
    /// Whether the file ends in git's own hash of everything before it.
    borrowing func endsInItsHash(_ format: ObjectFormat) -> Bool {
        guard bytes.count > 2 * format.rawLength else { return false }
        var hash = MessageDigest(format == .sha1 ? .sha1 : .sha256)
        let end = bytes.count - format.rawLength
        hash.update(UnsafeRawBufferPointer(rebasing: bytes[..<end]))
        return bytes[end...].elementsEqual(hash.finish())
    }
}
