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

        /// What the next state has as its parent; nil: it is the first.
        package var latest: Snapshot? {
            switch self {
            case .absent: nil
            case .deleted(let snapshot), .live(let snapshot): snapshot
            }
        }
    }

    /// Resolves a name with two reads: the pointer and the manifest that it names. Through a
    /// ``CachedStore`` the second is made once for each manifest.
    ///
    /// - Throws: ``StoreError``, or ``RepositoryError/damaged(_:reason:)``.
    package static func resolve(
        _ repository: RepositoryName, in store: any ObjectStore
    ) throws -> Resolution {
        guard let pointer = try store.readPointer(of: repository) else { return .absent }
        let manifest = try manifest(pointer.digest, of: repository, in: store)
        let snapshot = Snapshot(
            repository: repository, etag: pointer.etag, digest: pointer.digest, manifest: manifest)
        return manifest.kind == .live ? .live(snapshot) : .deleted(snapshot)
    }

    /// Reads and checks one manifest.
    package static func manifest(
        _ digest: Digest, of repository: RepositoryName, in store: any ObjectStore
    ) throws -> Manifest {
        let key = ObjectKey.manifest(digest)
        func read() throws(StoreError) -> [UInt8] {
            try store.getVerified(key, digest: digest, limit: Manifest.maximumSize)
        }
        do {
            if let cached = store as? CachedStore {
                return try cached.manifests.manifest(digest, reading: read)
            }
            return try Manifest(parsing: read())
        } catch let error as Manifest.Invalid {
            throw RepositoryError.damaged(repository, reason: "'\(key)': \(error)")
        }
    }
}
