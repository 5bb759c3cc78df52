package import GitProtocol
package import Logging
package import ObjectStore

/// What a push is received on, and what its swap is predicated on.
package enum PushParent: Sendable {
    /// A published state.
    case published(Snapshot)
    /// There is no repository: the push makes it.
    ///
    /// - Parameters:
    ///   - after: the tombstone of the one that was deleted, if there was one.
    case nothing(of: RepositoryName, after: Snapshot?, ObjectFormat)

    package var repository: RepositoryName {
        switch self {
        case .published(let snapshot): snapshot.repository
        case .nothing(let repository, _, _): repository
        }
    }

    /// The state that the workspace was hydrated from: an empty one where there is no repository.
    package var manifest: Manifest {
        switch self {
        case .published(let snapshot): snapshot.manifest
        case .nothing(_, _, let format): Manifest(head: .main, objectFormat: format)
        }
    }

    /// What the next state has as its parent; nil: it is the first.
    package var digest: Digest? {
        switch self {
        case .published(let snapshot): snapshot.digest
        case .nothing(_, let tombstone, _): tombstone?.digest
        }
    }

    /// What the pointer must carry for a swap; nil: there must be none.
    var etag: ETag? {
        switch self {
        case .published(let snapshot): snapshot.etag
        case .nothing(_, let tombstone, _): tombstone?.etag
        }
    }

    /// The branch that HEAD names once these updates are made: that of the repository, or for a new
    /// one `main`, else `master`, else the first branch that is pushed; `main` where none is.
    func head(after updates: [RefUpdate]) -> RefName {
        guard case .nothing = self else { return manifest.head }
        let branches = updates.filter { $0.name.isBranch && !$0.new.isZero }.map(\.name)
        let usual = [RefName.main, RefName("refs/heads/master")].compactMap { $0 }
        return usual.first { branches.contains($0) } ?? branches.first ?? .main
    }
}

extension Hydration {
    /// A workspace to push into, on top of a state or for a new repository.
    ///
    /// - Throws: ``StoreError`` or ``RepositoryError``; nothing is left behind then.
    package func writeWorkspace(on parent: PushParent, log: Logger) throws -> WriteWorkspace {
        switch parent {
        case .published(let snapshot): return try writeWorkspace(snapshot, log: log)
        case .nothing:
            let manifest = parent.manifest
            let workspace = try empty(head: manifest.head, manifest.objectFormat)
            try installHook(in: workspace)
            return WriteWorkspace(workspace: workspace, parent: parent)
        }
    }
}
