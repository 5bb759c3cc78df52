package import Bytes
package import ObjectStore

/// A cache of manifests by their digests. Manifests never change, so what it returns is never out of
/// date.
package protocol ManifestCaching: Sendable {
    /// Returns the manifest with a digest; reads it if it is not in the cache.
    ///
    /// - Parameter read: returns the manifest's bytes, checked against the digest.
    /// - Throws: what `read` throws, and ``Manifest/Invalid``.
    func manifest(_ digest: Digest, reading read: () throws -> [UInt8]) throws -> Manifest

    /// Adds the bytes of a manifest that was just stored. A failure to do so is ignored.
    func keep(_ bytes: [UInt8], as digest: Digest)
}

/// The states of repositories in a store: the only way to read them.
package struct Manifests: Sendable {
    package let store: any ObjectStore
    private let cache: (any ManifestCaching)?

    /// - Parameter cache: nil if every manifest is read from the store.
    package init(_ store: any ObjectStore, cache: (any ManifestCaching)? = nil) {
        self.store = store
        self.cache = cache
    }

    /// Resolves a name with two reads: the pointer, and the manifest that it points to unless that is
    /// cached.
    ///
    /// - Throws: ``StoreError``, or ``RepositoryError/damaged(_:reason:)``.
    package func resolve(_ repository: RepositoryName) throws -> Snapshot.Resolution {
        guard let pointer = try store.readPointer(of: repository) else { return .absent }
        let manifest = try manifest(pointer.digest, of: repository)
        return .init(
            Snapshot(
                repository: repository, etag: pointer.etag, digest: pointer.digest,
                manifest: manifest))
    }

    /// Resolves several names with two reads of each: all pointers at once, then all manifests, past
    /// the cache.
    ///
    /// - Parameter repositories: so few that all of their manifests fit into memory.
    /// - Returns: one result for each, in order; a failure is what ``resolve(_:)-(RepositoryName)``
    ///   throws.
    package func resolve(
        _ repositories: [RepositoryName]
    ) -> [Result<Snapshot.Resolution, any Error>] {
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
                return .init(
                    Snapshot(
                        repository: repository, etag: pointer.etag, digest: pointer.digest,
                        manifest: try Self.parse(object, pointer.digest, of: repository)))
            }
        }
    }

    /// Checks one manifest that was read.
    private static func parse(
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

    /// Reads and checks one manifest, unless it is cached.
    ///
    /// - Throws: ``StoreError``, or ``RepositoryError/damaged(_:reason:)``.
    package func manifest(_ digest: Digest, of repository: RepositoryName) throws -> Manifest {
        let key = ObjectKey.manifest(digest)
        func read() throws -> [UInt8] {
            try store.getVerified(key, digest: digest, limit: Manifest.maximumSize)
        }
        do {
            if let cache { return try cache.manifest(digest, reading: read) }
            return try Manifest(parsing: read())
        } catch let error as Manifest.Invalid {
            throw RepositoryError.damaged(repository, reason: "'\(key)': \(error)")
        }
    }

    /// Stores objects, as ``ObjectStore/write(_:)`` does, and caches the manifests among them, which
    /// will be the next ones to be read.
    package func write(_ writes: [ObjectWrite]) throws {
        try store.write(writes)
        guard let cache else { return }
        for case .manifest(.bytes(let bytes, let digest)) in writes {
            cache.keep(bytes, as: digest)
        }
    }
}

// MARK: Earlier states

extension Manifests {
    /// Reads the state before another one.
    ///
    /// - Returns: nil if that is the first one. It has the token that the later one was observed with.
    package func parent(of state: Snapshot) throws -> Snapshot? {
        guard let before = state.manifest.parent else { return nil }
        return Snapshot(
            repository: state.repository, etag: state.etag, digest: before,
            manifest: try manifest(before, of: state.repository))
    }

    /// Finds a state or an earlier one by its digest. Every manifest in between is read.
    ///
    /// - Returns: nil if the repository never had it. It has the token that `latest` was observed with.
    /// - Throws: ``StoreError`` or ``RepositoryError``.
    package func state(_ digest: Digest, before latest: Snapshot) throws -> Snapshot? {
        var state = latest
        while state.digest != digest {
            guard let before = try parent(of: state) else { return nil }
            state = before
        }
        return state
    }

    /// Finds the last state that was not a tombstone, up to this one.
    ///
    /// - Returns: its digest; nil if there was none.
    package func lastLive(before latest: Snapshot) throws -> Digest? {
        var state: Snapshot? = latest
        while let here = state, here.manifest.kind == .tombstone {
            state = try parent(of: here)
        }
        return state?.digest
    }
}
