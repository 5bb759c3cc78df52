import Bytes
package import Hydration
package import Logging
package import ObjectStore
package import Repository

/// A change of a repository's name. It needs two pointers, and a store swaps one at a time: the old
/// name becomes a tombstone, which pins the last state and claims it for the new name, and then the
/// new name gets that state.
///
/// In between neither name exists, but nothing is lost: the rename can be finished, or the old name
/// restored. The repository never has two names, however many renames and restorations run at the
/// same time, and however late their writes arrive: see ``PastState``.
package struct Renaming: Sendable {
    package let source: RepositoryName
    package let target: RepositoryName

    package init(of source: RepositoryName, to target: RepositoryName) {
        self.source = source
        self.target = target
    }

    /// A state that is claimed for the new name.
    private struct Claim {
        /// The swap that fulfills it, predicated on what existed before the claim.
        let swap: Swap
        let next: Swap.Prepared
        /// The tombstone under the old name that claims it, with its token.
        let tombstone: Snapshot
    }

    /// Renames the repository.
    ///
    /// - Returns: the state under the new name.
    /// - Throws: ``RenamingFailure``, which describes the state that the names are in. After any
    ///   other error nothing was changed.
    package func run(in hydration: Hydration, log: Logger) throws -> PublishedState {
        if source == target { throw LifecycleError.sameName(source) }
        let (first, state, last) = try begin(in: hydration, log: log)
        FaultPoint.reach(.renameTombstoned)

        var claim = first
        do {
            return try finish(&claim, state, last, in: hydration.manifests)
        } catch let error as StoreError where error.leavesSwapUnknown {
            throw RenamingFailure(self, error, .mayBeDone)
        } catch let error as RenamingFailure {
            throw error
        } catch {
            // Nothing of ours is, or will be, published under the new name.
            throw RenamingFailure(
                self, error, undo(claim, state, last, in: hydration.manifests, log: log))
        }
    }

    /// Finishes an interrupted rename: the old name is a tombstone, and the new one does not exist.
    /// A rename that turns out to be finished is not changed.
    ///
    /// - Throws: ``LifecycleError``, ``StoreError`` or another error that prevents it.
    package func resume(in hydration: Hydration, log: Logger) throws -> PublishedState {
        let manifests = hydration.manifests
        if source == target { throw LifecycleError.sameName(source) }
        return try Swap.repeated(
            attempts: LifecycleError.attempts, orThrow: LifecycleError.busy(source)
        ) {
            let tombstone: Snapshot
            switch try manifests.resolve(source) {
            case .absent: throw LifecycleError.absent(source, location: manifests.store.location)
            case .live:
                throw LifecycleError.present(
                    source, remedy: ", and no rename of it was interrupted. Remove --resume.")
            case .deleted(let snapshot): tombstone = snapshot
            }
            let past = try PastState(before: tombstone, in: manifests)
            // The new name is read before the claim is made, and never again for this claim.
            let seen = try manifests.resolve(target)
            if case .live(let snapshot) = seen {
                guard try isDone(snapshot, past, in: manifests) else { throw targetPresent }
                return PublishedState(snapshot)
            }
            let state = try hydration.publishableState(of: past.snapshot, log: log)
            try past.closeClaims(except: target, in: manifests)
            guard
                var claim = try lay(state, past.snapshot.digest, on: tombstone, seen, in: manifests)
            else { return nil }
            return try finish(&claim, state, past.snapshot.digest, in: manifests)
        }
    }

    /// Claims the last state.
    private func begin(
        in hydration: Hydration, log: Logger
    ) throws -> (Claim, state: Manifest, last: Digest) {
        let manifests = hydration.manifests
        return try Swap.repeated(
            attempts: LifecycleError.attempts, orThrow: LifecycleError.busy(source)
        ) {
            let seen = try manifests.resolve(target)
            if case .live = seen { throw targetPresent }
            switch try manifests.resolve(source) {
            case .absent: throw LifecycleError.absent(source, location: manifests.store.location)
            case .deleted: throw LifecycleError.nothingToRename(source, to: target)
            case .live(let last):
                let state = try hydration.publishableState(of: last, log: log)
                return try lay(state, last.digest, on: last, seen, in: manifests)
                    .map { ($0, state, last.digest) }
            }
        }
    }

    /// Swaps the old name to a tombstone that claims a state for the new name.
    ///
    /// - Parameter seen: the new name as it was before.
    /// - Returns: nil if another writer was first.
    private func lay(
        _ state: Manifest, _ last: Digest, on base: Snapshot, _ seen: Snapshot.Resolution,
        in manifests: Manifests
    ) throws -> Claim? {
        let swap = Swap(of: target, from: seen.latest, in: manifests)
        let next = try swap.prepare(state)
        let claiming = Swap(of: source, from: base, in: manifests)
        let tombstone = try claiming.prepare(
            .tombstone(
                for: state,
                movingTo: .init(name: target.description, digest: next.digest)))
        // Anyone who reads the claim then reads the state that it specifies.
        try manifests.write([.manifest(next.body), .manifest(tombstone.body)])
        do {
            switch try claiming.advance(to: tombstone.digest) {
            case .lost: return nil
            // It was published, and another command has taken the state over since.
            case .won(nil):
                throw RenamingFailure(
                    self, LifecycleError.busy(source), stateOfNames(last, in: manifests))
            case .won(let etag?):
                return Claim(
                    swap: swap, next: next,
                    tombstone: Snapshot(
                        repository: source, etag: etag, digest: tombstone.digest,
                        manifest: tombstone.manifest))
            }
        } catch let error as StoreError where error.leavesSwapUnknown {
            throw RenamingFailure(self, error, .mayHaveBegun)
        }
    }

    /// Publishes the claimed state under the new name. If that name has changed since the claim but
    /// has no repository, another claim is made on top.
    private func finish(
        _ claim: inout Claim, _ state: Manifest, _ last: Digest, in manifests: Manifests
    ) throws -> PublishedState {
        try Swap.repeated(
            attempts: LifecycleError.attempts, orThrow: LifecycleError.busy(target)
        ) {
            if let state = try claim.swap.publish(claim.next).state { return state }
            let seen = try manifests.resolve(target)
            if case .live = seen { throw targetPresent }
            guard let next = try lay(state, last, on: claim.tombstone, seen, in: manifests) else {
                throw RenamingFailure(
                    self, LifecycleError.busy(source), stateOfNames(last, in: manifests))
            }
            claim = next
            return nil
        }
    }

    /// Whether the repository under the new name is the one to rename.
    private func isDone(
        _ snapshot: Snapshot, _ past: PastState, in manifests: Manifests
    ) throws -> Bool {
        // Tombstones of older releases have no claims.
        if past.claims.isEmpty { return snapshot.manifest.isSameState(as: past.snapshot.manifest) }
        return try past.wasPublished(as: snapshot, in: manifests)
    }

    private var targetPresent: LifecycleError { .present(target, remedy: ".") }

    /// Restores the old name, unless another command has taken over.
    private func undo(
        _ claim: Claim, _ state: Manifest, _ last: Digest, in manifests: Manifests, log: Logger
    ) -> RenamingFailure.State {
        do {
            let swap = Swap(of: source, from: claim.tombstone, in: manifests)
            if case .won = try swap.publish(state) { return .undone }
            return stateOfNames(last, in: manifests)
        } catch {
            log.error("could not undo a rename", metadata: ["error": "\(error)"])
            return .begun
        }
    }

    /// Returns the state of the names after another command has taken over the old one.
    private func stateOfNames(
        _ last: Digest, in manifests: Manifests
    ) -> RenamingFailure.State {
        // If it cannot be read, it is not known to exist.
        if case .live? = try? manifests.resolve(source) {
            return .sourceTaken(last: last)
        }
        return .overtaken(last: last)
    }
}

extension StoreError {
    /// Whether a swap with this error may have been applied. Temporary errors before it have not
    /// changed the pointer.
    fileprivate var leavesSwapUnknown: Bool {
        if case .undetermined = self { true } else { false }
    }
}
