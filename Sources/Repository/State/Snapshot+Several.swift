import Bytes
package import ObjectStore

extension Snapshot {
    /// Resolves several names with two reads of each: all pointers at once, then all manifests.
    ///
    /// - Parameter repositories: so few that all of their manifests fit into memory.
    /// - Returns: one result for each, in order; a failure is what ``resolve(_:in:)`` throws.
    package static func resolve(
        _ repositories: [RepositoryName], in store: any ObjectStore
    ) -> [Result<Resolution, any Error>] {
        let pointers = store.readPointers(of: repositories)
        let digests = pointers.compactMap { pointer in
            if case .success(let value?) = pointer { value.digest } else { nil }
        }
        var objects = store.get(
            digests.map { .manifest($0) }, limit: Manifest.maximumSize)[...]
        return zip(repositories, pointers).map { repository, pointer in
            Result {
                guard let pointer = try pointer.get() else { return .absent }
                guard let object = try objects.popFirst()?.get() else {
                    throw StoreError.missing(.manifest(pointer.digest))
                }
                let snapshot = Snapshot(
                    repository: repository, etag: pointer.etag, digest: pointer.digest,
                    manifest: try manifest(object, pointer.digest, of: repository))
                return snapshot.manifest.kind == .live ? .live(snapshot) : .deleted(snapshot)
            }
        }
    }

    /// Checks one manifest that was read.
    private static func manifest(
        _ object: StoredObject, _ digest: Digest, of repository: RepositoryName
    ) throws -> Manifest {
        let key = ObjectKey.manifest(digest)
        guard object.digest == digest else {
            throw StoreError.corrupt(key, reason: "its SHA-256 does not match")
        }
        do {
            return try Manifest(parsing: object.bytes)
        } catch {
            throw RepositoryError.damaged(repository, reason: "'\(key)': \(error)")
        }
    }
}
