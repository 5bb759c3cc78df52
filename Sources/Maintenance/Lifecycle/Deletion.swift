package import ObjectStore
package import Repository

/// The deletion of a repository: its pointer is swapped to a tombstone, whatever is published.
///
/// No object is removed, so that running reads can finish and ``Restoration`` can bring the
/// repository back. A push in flight loses its swap.
package struct Deletion: Sendable {
    package let repository: RepositoryName

    package init(of repository: RepositoryName) {
        self.repository = repository
    }

    /// Publishes the tombstone on top of whatever is published; a push that wins first is deleted
    /// with the rest.
    ///
    /// - Returns: the tombstone, whose parent is the last state.
    /// - Throws: ``LifecycleError``, ``StoreError`` or ``RepositoryError``.
    ///   After ``StoreError/undetermined(_:reason:)`` it may be deleted.
    package func run(in manifests: Manifests) throws -> PublishedState {
        try Swap.repeated(
            attempts: LifecycleError.attempts, orThrow: LifecycleError.busy(repository)
        ) {
            switch try manifests.resolve(repository) {
            case .absent:
                throw LifecycleError.absent(repository, location: manifests.store.location)
            case .deleted(let tombstone):
                throw LifecycleError.deleted(
                    repository, last: try manifests.lastLive(before: tombstone))
            case .live(let last):
                return try Swap(of: repository, from: last, in: manifests)
                    .publish(.tombstone(for: last.manifest)).state
            }
        }
    }
}
