import Bytes
package import GitProtocol
package import Posix

/// A pack that git wrote on this machine, with its index. Both are verified to be what git wrote.
///
/// Each file is read once. That yields the SHA-256 under which the pack is stored, and proves that
/// these are the bytes that git hashed: the pack's trailer is the hash of everything before it, the
/// index has its own checksum and the pack's trailer, and both contain the same number of objects.
/// So a bit that changed after git had finished with the file is detected. gitformat-pack(5).
package struct VerifiedPack: Sendable {
    /// The path of the pack.
    package let path: String
    package let packFile: HashedFile
    package let indexFile: HashedFile
    /// The number of objects, which the pack and the index agree on.
    package let objects: Int
    /// git's own hash of the pack, in hex.
    package let trailer: String

    /// The reason why a pack is rejected.
    package enum Fault: Error {
        /// A file does not exist, or cannot be read.
        case unreadable(SystemError)
        /// The bytes are not those that git wrote.
        case wrong(String)
    }

    /// Reads a pack and its index.
    package init(_ path: String, index indexPath: String, format: ObjectFormat) throws(Fault) {
        let pack: ChecksummedFile
        let index: PackIndex.Contents?
        do {
            pack = try ChecksummedFile(path, format: format)
            index = try PackIndex.read(indexPath, format: format)
        } catch {
            throw .unreadable(error)
        }
        guard let header = PackHeader(pack.head) else {
            throw .wrong("'\(path)' has no pack header")
        }
        guard pack.isIntact else {
            throw .wrong("'\(path)' is corrupt: its bytes do not match its trailer")
        }
        guard let index else {
            throw .wrong("'\(indexPath)' is corrupt: its bytes do not match its checksum")
        }
        guard index.packTrailer.elementsEqual(pack.trailer), index.objects == header.objects else {
            throw .wrong("'\(indexPath)' is not the index of '\(path)'")
        }
        self.path = path
        packFile = pack.file
        indexFile = index.file
        objects = header.objects
        trailer = Hex.encode(pack.trailer)
    }
}

/// The beginning of a pack: `PACK`, a version, and the number of its objects. gitformat-pack(5).
package struct PackHeader: Equatable {
    package let objects: Int

    /// The length of the header in bytes.
    package static let length = 12

    /// Parses the first bytes of a pack; nil if they are not a header of a version that git reads.
    package init?(_ bytes: some Collection<UInt8>) {
        let header = Array(bytes.prefix(Self.length))
        guard header.count == Self.length, header.starts(with: "PACK".utf8),
            header[4..<7].allSatisfy({ $0 == 0 }), (2...3).contains(header[7])
        else { return nil }
        objects = header[8...].reduce(0) { $0 << 8 | Int($1) }
    }
}
