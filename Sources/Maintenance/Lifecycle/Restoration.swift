package import Bytes
package import Hydration
package import Logging
package import ObjectStore
package import Repository

/// The restoration of a deleted repository: a state from before its deletion is published again, on
/// top of the tombstone. This undoes an interrupted rename, but not a finished one.
package struct Restoration: Sendable {
    package let repository: RepositoryName
    /// The state to go back to; nil for the last one before the deletion.
    package let state: Digest?

    package init(of repository: RepositoryName, to state: Digest? = nil) {
        self.repository = repository
        self.state = state
    }

    /// Publishes the state.
    ///
    /// - Throws: ``LifecycleError``, ``StoreError`` or ``RepositoryError``.
    package func run(in hydration: Hydration, log: Logger) throws -> PublishedState {
        let manifests = hydration.manifests
        return try Swap.repeated(
            attempts: LifecycleError.attempts, orThrow: LifecycleError.busy(repository)
        ) {
            let tombstone: Snapshot
            switch try manifests.resolve(repository) {
            case .absent:
                throw LifecycleError.absent(repository, location: manifests.store.location)
            case .live:
                throw LifecycleError.present(repository, remedy: ". There is nothing to restore.")
            case .deleted(let snapshot): tombstone = snapshot
            }
            let before = try PastState(state, before: tombstone, in: manifests)
            let manifest = try hydration.publishableState(of: before.snapshot, log: log)
            // A rename that begins now changes the pointer, so that this swap is lost.
            try before.closeClaims(in: manifests)
            return try Swap(of: repository, from: tombstone, in: manifests).publish(manifest).state
        }
    }
}
