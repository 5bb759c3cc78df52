package import Bytes
package import Repository
package import ObjectStore

/// Deletes a repository: its pointer is swapped to a tombstone, whatever is published there.
///
/// No object is removed, so that readers finish what they began, and ``Restoration`` can bring it
/// back. A push in flight loses.
package struct Deletion: Sendable {
    package let repository: RepositoryName

    package init(of repository: RepositoryName) {
        self.repository = repository
    }

    /// What was done.
    package struct Done: Sendable {
        /// The last state.
        package let last: Snapshot
        /// The tombstone's digest.
        package let tombstone: Digest
    }

    /// Publishes the tombstone on top of whatever is published; a push that wins first is deleted
    /// with the rest.
    ///
    /// - Throws: ``LifecycleError``, ``StoreError`` or ``RepositoryError``.
    ///   ``StoreError/undetermined(_:reason:)``: it may be deleted.
    package func run(in manifests: Manifests) throws -> Done {
        for _ in 0..<LifecycleError.attempts {
            switch try manifests.resolve(repository) {
            case .absent:
                throw LifecycleError.absent(repository, location: manifests.store.location)
            case .deleted(let tombstone):
                throw LifecycleError.deleted(
                    repository, last: try manifests.lastLive(before: tombstone))
            case .live(let last):
                let swap = Swap(of: repository, from: last, in: manifests)
                if case .won(let digest, _) = try swap.publish(.tombstone(for: last.manifest)) {
                    return Done(last: last, tombstone: digest)
                }
            }
        }
        throw LifecycleError.busy(repository)
    }
}
