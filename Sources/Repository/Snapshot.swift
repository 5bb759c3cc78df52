package import Bytes
package import ObjectStore

/// One observation of a repository's pointer: its ETag, and the manifest that it points to.
///
/// Later steps receive the snapshot; none of them reads the pointer again.
package struct Snapshot: Sendable {
    package let repository: RepositoryName
    package let etag: ETag
    package let digest: Digest
    package let manifest: Manifest

    package init(repository: RepositoryName, etag: ETag, digest: Digest, manifest: Manifest) {
        self.repository = repository
        self.etag = etag
        self.digest = digest
        self.manifest = manifest
    }

    /// The result of resolving a name.
    package enum Resolution: Sendable {
        /// No repository of this name ever existed.
        case absent
        /// The repository was deleted or renamed: its pointer points to a tombstone.
        case deleted(Snapshot)
        case live(Snapshot)

        init(_ snapshot: Snapshot) {
            self = snapshot.manifest.kind == .live ? .live(snapshot) : .deleted(snapshot)
        }

        /// The parent of the next state; nil if that is the first one.
        package var latest: Snapshot? {
            switch self {
            case .absent: nil
            case .deleted(let snapshot), .live(let snapshot): snapshot
            }
        }
    }
}
