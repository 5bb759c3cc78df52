package import Logging
package import ObjectStore

/// Brings a deleted repository back: publishes a state from before its deletion once more, on top of
/// the tombstone.
package struct Restoration: Sendable {
    package let repository: RepositoryName
    /// The state to go back to; nil: the last one before the deletion.
    package let state: Digest?

    package init(of repository: RepositoryName, to state: Digest? = nil) {
        self.repository = repository
        self.state = state
    }

    /// What was done.
    package struct Done: Sendable {
        /// The state that is published again, and the digest that it has now.
        package let manifest: Manifest
        package let digest: Digest
    }

    /// Publishes the state.
    ///
    /// - Throws: ``LifecycleError``, ``StoreError`` or ``RepositoryError``.
    package func run(in hydration: Hydration, log: Logger) throws -> Done {
        let store = hydration.store
        for _ in 0..<LifecycleError.attempts {
            let tombstone: Snapshot
            switch try Snapshot.resolve(repository, in: store) {
            case .absent: throw LifecycleError.absent(repository, location: store.location)
            case .live:
                throw LifecycleError.present(repository, remedy: "; there is nothing to restore.")
            case .deleted(let snapshot): tombstone = snapshot
            }
            let before = try Self.state(state, before: tombstone, in: store)
            let manifest = try hydration.publishableState(of: before, log: log)
            let swap = Swap(of: repository, from: tombstone, in: store)
            if case .won(let digest, let published) = try swap.publish(manifest) {
                return Done(manifest: published, digest: digest)
            }
        }
        throw LifecycleError.busy(repository)
    }

    /// A state that was published before a tombstone was.
    ///
    /// - Parameter wanted: nil: the last one.
    static func state(
        _ wanted: Digest? = nil, before tombstone: Snapshot, in store: any ObjectStore
    ) throws -> Snapshot {
        guard let digest = wanted ?? tombstone.manifest.parent else {
            throw RepositoryError.damaged(
                tombstone.repository, reason: "its tombstone has no state before it")
        }
        guard let state = try tombstone.state(digest, in: store), state.manifest.kind == .live
        else { throw LifecycleError.noSuchState(tombstone.repository, digest) }
        return state
    }
}

extension Snapshot {
    /// This state, or one that the repository had before, with the token that this one was observed
    /// with; nil: it never had it. Every manifest in between is read.
    ///
    /// - Throws: ``StoreError`` or ``RepositoryError``.
    package func state(_ digest: Digest, in store: any ObjectStore) throws -> Snapshot? {
        var state = self
        while state.digest != digest {
            guard let before = state.manifest.parent else { return nil }
            state = Snapshot(
                repository: repository, etag: etag, digest: before,
                manifest: try Self.manifest(before, of: repository, in: store))
        }
        return state
    }
}
