package import Bytes
package import Git
package import GitProtocol
import Glibc
package import ObjectStore
import Posix

/// A file that is derived from a pack and stored beside it to make reading faster.
///
/// Sidecars are written only for a pack that is closed under reachability, and describe only that
/// pack. A reader looks for them only for the pack of a repository that has the most objects, and only
/// if it has ``minimumObjects``. A missing sidecar is normal.
package enum PackSidecar: CaseIterable {
    /// A reachability bitmap. gitformat-bitmap(5).
    case bitmap
    /// A commit graph. gitformat-commit-graph(5).
    case commitGraph

    /// The number of objects from which on a reader looks for a pack's sidecars.
    package static let minimumObjects = 1000

    /// Whether the file at `path` is this sidecar of the pack whose valid index is at `index`.
    package func isUsable(
        _ path: String, forIndex index: String, format: ObjectFormat
    ) throws -> Bool {
        guard let size = try Files.size(of: path), size > 0 else { return false }
        let file = try MappedFile(path)
        let index = try MappedFile(index)
        guard index.bytes.count > 1032 + 2 * format.rawLength else { return false }
        return switch self {
        case .bitmap: PackBitmap.isWhole(file, forIndex: index, format)
        case .commitGraph: CommitGraph.isWhole(file, forIndex: index, format)
        }
    }

    /// The key of a pack's sidecar.
    package func key(of pack: Digest) -> ObjectKey {
        switch self {
        case .bitmap: .packBitmap(pack)
        case .commitGraph: .commitGraph(pack)
        }
    }

    /// The suffix of its name in the cache.
    package var suffix: String {
        switch self {
        case .bitmap: PackCache.Suffix.bitmap
        case .commitGraph: PackCache.Suffix.graph
        }
    }

    /// The suffix of the mark that the store has none.
    fileprivate var absenceSuffix: String {
        switch self {
        case .bitmap: PackCache.Suffix.noBitmap
        case .commitGraph: PackCache.Suffix.noGraph
        }
    }

    /// The path at which git looks for it.
    package func path(of pack: Digest, in workspace: borrowing Workspace) -> String {
        switch self {
        case .bitmap: "\(workspace.packDirectory)/pack-\(pack.hex).bitmap"
        case .commitGraph: "\(workspace.path)/objects/info/commit-graph"
        }
    }
}

extension PackCache {
    /// The state of a pack's sidecar, as far as the cache knows it.
    package enum SidecarKnowledge {
        case kept(path: String)
        /// The store had none within the last hour.
        case absent
        case unknown
    }

    /// Seconds for which an absence mark is believed.
    private static let absenceTime = 3600

    /// Removes a pack's absence marks, because its sidecars were just written.
    package func forgetAbsence(of pack: Digest) {
        Self.remove(base(of: pack), PackSidecar.allCases.map(\.absenceSuffix))
    }

    /// Returns the known state, without a request to the store.
    package func look(for sidecar: PackSidecar, of pack: Digest) -> SidecarKnowledge {
        let base = base(of: pack)
        var status = stat()
        if lstat(base + sidecar.suffix, &status) == 0, status.st_mode & S_IFMT == S_IFREG {
            return .kept(path: base + sidecar.suffix)
        }
        if lstat(base + sidecar.absenceSuffix, &status) == 0,
            abs(time(nil) - status.st_mtim.tv_sec) < Self.absenceTime
        {
            return .absent
        }
        return .unknown
    }

    /// Remembers that the store has no such sidecar of a pack. If that fails, the next reader asks the
    /// store again.
    package func markAbsent(_ sidecar: PackSidecar, of pack: Digest) {
        try? Files.write([], to: base(of: pack) + sidecar.absenceSuffix)
    }
}
