package import GitProtocol
import Glibc
package import Posix

/// A commit graph as git writes it. gitformat-commit-graph(5).
package enum CommitGraph {
    /// Whether a file is a self-contained commit graph of the pack with this index: each commit
    /// must be in the pack, since git does not check that the commits of a graph exist.
    package static func isWhole(
        _ graph: borrowing MappedFile, forIndex index: borrowing MappedFile,
        _ format: ObjectFormat
    ) -> Bool {
        graph.endsInItsHash(format) && lists(graph, of: index, format)
    }

    private static func lists(
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

    /// The offset of a chunk; nil if the graph has none of this name.
    private static func chunk(_ name: String, _ graph: borrowing MappedFile) -> Int? {
        for entry in 0..<Int(graph.bytes[6]) {
            let start = 8 + 12 * entry
            guard start + 12 <= graph.bytes.count else { return nil }
            if graph.bytes[start..<start + 4].elementsEqual(name.utf8) {
                // No file is longer than 63 bits can express.
                guard graph.bytes[start + 4] < 0x80 else { return nil }
                return graph.number(at: start + 4, bytes: 8)
                    .flatMap { $0 <= graph.bytes.count ? $0 : nil }
            }
        }
        return nil
    }
}
