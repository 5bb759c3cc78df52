package import Bytes
package import ObjectStore

/// One observation of a repository's pointer: the token, and the manifest that it names.
///
/// Everything downstream takes a snapshot; nobody reads the pointer again.
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

    /// What a name resolves to.
    package enum Resolution: Sendable {
        /// There never was such a repository.
        case absent
        /// There was one: its pointer names a tombstone.
        case deleted(Snapshot)
        case live(Snapshot)

        init(_ snapshot: Snapshot) {
            self = snapshot.manifest.kind == .live ? .live(snapshot) : .deleted(snapshot)
        }

        /// What the next state has as its parent; nil: it is the first.
        package var latest: Snapshot? {
            switch self {
            case .absent: nil
            case .deleted(let snapshot), .live(let snapshot): snapshot
            }
        }
    }
}
