package import Bytes
package import Repository
package import Logging
package import ObjectStore

/// Brings a deleted repository back: publishes a state from before its deletion once more, on top of
/// the tombstone. A renaming that was cut off is undone by it; one that is done is not.
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
        let manifests = hydration.manifests
        for _ in 0..<LifecycleError.attempts {
            let tombstone: Snapshot
            switch try manifests.resolve(repository) {
            case .absent:
                throw LifecycleError.absent(repository, location: manifests.store.location)
            case .live:
                throw LifecycleError.present(repository, remedy: "; there is nothing to restore.")
            case .deleted(let snapshot): tombstone = snapshot
            }
            let before = try PastState(state, before: tombstone, in: manifests)
            let manifest = try hydration.publishableState(of: before.snapshot, log: log)
            // A renaming that begins now changes the pointer, and this swap is lost.
            try before.closeClaims(in: manifests)
            let swap = Swap(of: repository, from: tombstone, in: manifests)
            if case .won(let digest, let published) = try swap.publish(manifest) {
                return Done(manifest: published, digest: digest)
            }
        }
        throw LifecycleError.busy(repository)
    }
}
