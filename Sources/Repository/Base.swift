package import Bytes
package import GitProtocol
package import ObjectStore

/// The state that the next one is built on, and that its swap is predicated on.
package enum Base: Sendable {
    /// A published state.
    case published(Snapshot)
    /// No repository exists; the push creates it.
    ///
    /// - Parameters:
    ///   - after: the tombstone of the deleted repository, if there was one.
    case nothing(of: RepositoryName, after: Snapshot?, ObjectFormat)

    package var repository: RepositoryName {
        switch self {
        case .published(let snapshot): snapshot.repository
        case .nothing(let repository, _, _): repository
        }
    }

    /// The state that the workspace was hydrated from; an empty one if no repository exists.
    package var manifest: Manifest {
        switch self {
        case .published(let snapshot): snapshot.manifest
        case .nothing(_, _, let format): Manifest(head: .main, objectFormat: format)
        }
    }

    /// The parent of the next state; nil if that is the first one.
    package var digest: Digest? {
        switch self {
        case .published(let snapshot): snapshot.digest
        case .nothing(_, let tombstone, _): tombstone?.digest
        }
    }

    /// The ETag that the pointer must have for a swap; nil if no pointer may exist.
    var etag: ETag? {
        switch self {
        case .published(let snapshot): snapshot.etag
        case .nothing(_, let tombstone, _): tombstone?.etag
        }
    }

    /// The branch that HEAD points to after these updates: that of the repository, or for a new one
    /// `main`, else `master`, else the first branch that is pushed; `main` if there is none.
    package func head(after updates: [RefUpdate]) -> RefName {
        guard case .nothing = self else { return manifest.head }
        let branches = updates.filter { $0.name.isBranch && !$0.new.isZero }.map(\.name)
        let usual = [RefName.main, RefName("refs/heads/master")].compactMap { $0 }
        return usual.first { branches.contains($0) } ?? branches.first ?? .main
    }
}
