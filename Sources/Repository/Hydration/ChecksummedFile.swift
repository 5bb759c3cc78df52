import Bytes
import GitProtocol
import Glibc
import ObjectStore
import Posix

/// One pass over a file that ends in a hash of everything before it, as packs, indexes, bitmaps and
/// commit graphs do. gitformat-pack(5), gitformat-bitmap(5), gitformat-commit-graph(5).
///
/// The SHA-256 that names the file, git's own hash, and the first and last bytes all come from the
/// same reading, so they describe the same bytes, whatever happens to the file in between.
struct ChecksummedFile {
    /// The file as it is stored, with the SHA-256 of its bytes.
    let body: ObjectBody
    /// Up to ``headLength`` bytes from the beginning.
    let head: [UInt8]
    /// Up to twice the length of a hash from the end. The last hash is the file's own.
    let tail: [UInt8]
    /// Whether the last hash is that of everything before it.
    let isIntact: Bool

    /// Bytes: the header and the fan-out table of an index.
    static let headLength = 1032

    /// The hash at the file's end.
    var trailer: ArraySlice<UInt8> { tail.suffix(hashLength) }

    private let hashLength: Int

    /// Reads the file, piece by piece. read(2).
    init(_ path: String, format: ObjectFormat) throws(SystemError) {
        let length = format.rawLength
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        var sha256 = SHA256()
        var own = MessageDigest(format == .sha1 ? .sha1 : .sha256)
        var head: [UInt8] = []
        var size: Int64 = 0
        // The end of the file is not hashed by git: it is held back, at the chunk's beginning.
        var held = 0
        var chunk = [UInt8](repeating: 0, count: 2 * length + 1 << 20)
        while true {
            let count = try chunk.withMutableBytes { (buffer) throws(SystemError) in
                try readSome(
                    file.raw, into: UnsafeMutableRawBufferPointer(rebasing: buffer[held...]))
            }
            if count == 0 { break }
            size += Int64(count)
            head += chunk[held..<held + count].prefix(Self.headLength - head.count)
            let filled = held + count
            let kept = min(filled, 2 * length)
            chunk.withUnsafeMutableBytes { buffer in
                sha256.update(UnsafeRawBufferPointer(rebasing: buffer[held..<filled]))
                own.update(UnsafeRawBufferPointer(rebasing: buffer[..<(filled - kept)]))
                if filled > kept, let start = buffer.baseAddress {
                    memmove(start, start + (filled - kept), kept)
                }
            }
            held = kept
        }
        tail = Array(chunk[..<held])
        let hashed = max(0, held - length)
        chunk.withUnsafeBytes { own.update(UnsafeRawBufferPointer(rebasing: $0[..<hashed])) }
        let hash = own.finish()
        isIntact = size > Int64(length) && tail.suffix(length).elementsEqual(hash)
        body = .file(path: path, size: size, digest: sha256.finish())
        self.head = head
        hashLength = length
    }
}
