package import Bytes
package import GitProtocol
import Glibc
package import ObjectStore
package import Posix

/// What may lie in the store beside a pack, derived of it, to make reading faster.
///
/// Both are made only for a pack that is closed under reachability, and describe that pack alone. A
/// reader looks for them only for the one pack of a repository that has the most objects, and only
/// if it has ``minimumObjects``. That there is none is normal.
package enum PackSidecar: CaseIterable {
    /// A reachability bitmap. gitformat-bitmap(5).
    case bitmap
    /// A commit graph. gitformat-commit-graph(5).
    case commitGraph

    /// Objects from which on a pack's sidecars are looked for.
    static let minimumObjects = 1000

    /// Whether a file is this sidecar of the pack whose index, a good one, is at `index`: its
    /// trailing hash is right, and it belongs to that pack.
    ///
    /// Of a commit graph each commit must be in the pack: git believes a graph about what there is.
    package func isUsable(
        _ path: String, forIndex index: String, format: ObjectFormat
    ) throws(SystemError) -> Bool {
        guard let size = try Files.size(of: path), size > 0 else { return false }
        let file = try MappedFile(path)
        let index = try MappedFile(index)
        let length = format.rawLength
        guard file.bytes.count > 2 * length, index.bytes.count > 1032 + 2 * length,
            Self.hasTrailingHash(file.bytes, format)
        else { return false }
        switch self {
        case .bitmap:
            // Signature, version 1, options, number of entries, the pack's trailer.
            guard file.bytes.starts(with: Array("BITM".utf8) + [0, 1]),
                file.bytes.count >= 12 + 2 * length
            else { return false }
            let trailer = index.bytes.dropLast(length).suffix(length)
            return file.bytes[12..<12 + length].elementsEqual(trailer)
        case .commitGraph:
            return Self.isGraph(file, of: index, format)
        }
    }

    private static func hasTrailingHash(
        _ bytes: UnsafeRawBufferPointer, _ format: ObjectFormat
    ) -> Bool {
        var hash = MessageDigest(format == .sha1 ? .sha1 : .sha256)
        let end = bytes.count - format.rawLength
        hash.update(UnsafeRawBufferPointer(rebasing: bytes[..<end]))
        return bytes[end...].elementsEqual(hash.finish())
    }

    /// Whether a file is a commit graph, whole in itself, of commits that an index lists.
    private static func isGraph(
        _ graph: borrowing MappedFile, of index: borrowing MappedFile, _ format: ObjectFormat
    ) -> Bool {
        let length = format.rawLength
        let kind: UInt8 = format == .sha1 ? 1 : 2
        // Signature, version 1, hash, number of chunks, number of graphs below this one.
        guard graph.bytes.starts(with: Array("CGPH".utf8) + [1, kind]), graph.bytes[7] == 0,
            let fanout = chunk("OIDF", graph), let ids = chunk("OIDL", graph),
            let count = graph.number(at: fanout + 1020, bytes: 4),
            index.bytes.starts(with: [0xff, 0x74, 0x4f, 0x63, 0, 0, 0, 2]),
            let objects = index.number(at: 1028, bytes: 4),
            count <= objects, ids + count * length <= graph.bytes.count,
            1032 + objects * length <= index.bytes.count,
            let graphStart = graph.bytes.baseAddress, let indexStart = index.bytes.baseAddress
        else { return false }
        // Both lists are sorted.
        var object = 0
        for commit in 0..<count {
            let wanted = graphStart + ids + commit * length
            while true {
                if object == objects { return false }
                let order = memcmp(indexStart + 1032 + object * length, wanted, length)
                object += 1
                if order == 0 { break }
                if order > 0 { return false }
            }
        }
        return true
    }

    /// Where a chunk of a commit graph begins.
    private static func chunk(_ name: String, _ graph: borrowing MappedFile) -> Int? {
        for entry in 0..<Int(graph.bytes[6]) {
            let start = 8 + 12 * entry
            guard start + 12 <= graph.bytes.count else { return nil }
            if graph.bytes[start..<start + 4].elementsEqual(name.utf8) {
                // 63 bits are more than any file has.
                guard graph.bytes[start + 4] < 0x80 else { return nil }
                return graph.number(at: start + 4, bytes: 8)
                    .flatMap { $0 <= graph.bytes.count ? $0 : nil }
            }
        }
        return nil
    }

    /// The key of a pack's sidecar.
    package func key(of pack: Digest) -> ObjectKey {
        switch self {
        case .bitmap: .packBitmap(pack)
        case .commitGraph: .commitGraph(pack)
        }
    }

    /// The suffix of its name in the cache.
    var suffix: String {
        switch self {
        case .bitmap: PackCache.Suffix.bitmap
        case .commitGraph: PackCache.Suffix.graph
        }
    }

    /// That of the mark which says that there is none.
    var absenceSuffix: String {
        switch self {
        case .bitmap: PackCache.Suffix.noBitmap
        case .commitGraph: PackCache.Suffix.noGraph
        }
    }

    /// Where git looks for it.
    func path(of pack: Digest, in workspace: borrowing Workspace) -> String {
        switch self {
        case .bitmap: "\(workspace.packDirectory)/pack-\(pack.hex).bitmap"
        case .commitGraph: "\(workspace.path)/objects/info/commit-graph"
        }
    }
}
