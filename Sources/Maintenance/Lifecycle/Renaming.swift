package import Repository
package import Logging
package import ObjectStore

/// Gives a repository another name. That takes two pointers, and a store swaps one at a time: the old
/// name becomes a tombstone, which pins the last state and claims it for the new name, and then the new
/// name gets that state.
///
/// In between neither name exists, with everything kept: the renaming can be finished, or the old name
/// restored. The repository never has two names, however many renamings and restorations run at the
/// same time, and however late their writes land: ``PastState``.
package struct Renaming: Sendable {
    package let source: RepositoryName
    package let target: RepositoryName

    package init(of source: RepositoryName, to target: RepositoryName) {
        self.source = source
        self.target = target
    }

    /// What was done.
    package struct Done: Equatable, Sendable {
        /// The digest of the state under the new name.
        package let digest: Digest
        package let manifest: Manifest
    }

    /// A state that is claimed for the new name.
    private struct Claim {
        /// The swap that fulfills it, predicated on what existed before the claim.
        let swap: Swap
        let next: Swap.Prepared
        /// What claims it, under the old name; with the token.
        let tombstone: Snapshot
    }

    /// Renames.
    ///
    /// - Throws: ``LifecycleError``, or what stands in the way: nothing was changed.
    ///   ``RenamingFailure``: it says how things stand.
    package func run(in hydration: Hydration, log: Logger) throws -> Done {
        if source == target { throw LifecycleError.sameName(source) }
        let (first, state, last) = try begin(in: hydration, log: log)
        FaultPoint.reach(.renameTombstoned)

        var claim = first
        do {
            return try finish(&claim, state, last, in: hydration.store)
        } catch let error as StoreError where error.leavesSwapUnknown {
            throw RenamingFailure(self, error, .mayBeDone)
        } catch let error as RenamingFailure {
            throw error
        } catch {
            // Nothing of ours is under the new name, nor will be.
            throw RenamingFailure(
                self, error, undo(claim, state, last, in: hydration.store, log: log))
        }
    }

    /// Finishes a renaming that was interrupted: the old name is a tombstone, the new one does not exist.
    /// One that turns out to be finished is left as it is.
    ///
    /// - Throws: ``LifecycleError``, or what stands in the way.
    package func resume(in hydration: Hydration, log: Logger) throws -> Done {
        let store = hydration.store
        if source == target { throw LifecycleError.sameName(source) }
        for _ in 0..<LifecycleError.attempts {
            let tombstone: Snapshot
            switch try Snapshot.resolve(source, in: store) {
            case .absent: throw LifecycleError.absent(source, location: store.location)
            case .live:
                throw LifecycleError.present(
                    source, remedy: ", and no rename of it was interrupted. Remove --resume.")
            case .deleted(let snapshot): tombstone = snapshot
            }
            let past = try PastState(before: tombstone, in: store)
            // Before the claim is laid, and never again for it.
            let seen = try Snapshot.resolve(target, in: store)
            if case .live(let snapshot) = seen {
                guard try isDone(snapshot, past, in: store) else { throw targetPresent }
                return Done(digest: snapshot.digest, manifest: snapshot.manifest)
            }
            let state = try hydration.publishableState(of: past.snapshot, log: log)
            try past.closeClaims(except: target, in: store)
            if var claim = try lay(state, past.snapshot.digest, on: tombstone, seen, in: store) {
                return try finish(&claim, state, past.snapshot.digest, in: store)
            }
        }
        throw LifecycleError.busy(source)
    }

    /// Claims the last state.
    private func begin(
        in hydration: Hydration, log: Logger
    ) throws -> (Claim, state: Manifest, last: Digest) {
        let store = hydration.store
        for _ in 0..<LifecycleError.attempts {
            let seen = try Snapshot.resolve(target, in: store)
            if case .live = seen { throw targetPresent }
            switch try Snapshot.resolve(source, in: store) {
            case .absent: throw LifecycleError.absent(source, location: store.location)
            case .deleted: throw LifecycleError.nothingToRename(source, to: target)
            case .live(let last):
                let state = try hydration.publishableState(of: last, log: log)
                if let claim = try lay(state, last.digest, on: last, seen, in: store) {
                    return (claim, state, last.digest)
                }
            }
        }
        throw LifecycleError.busy(source)
    }

    /// Swaps the old name to a tombstone that claims a state for the new name.
    ///
    /// - Parameter seen: the new name as it was before.
    /// - Returns: nil where another writer came first.
    private func lay(
        _ state: Manifest, _ last: Digest, on base: Snapshot, _ seen: Snapshot.Resolution,
        in store: any ObjectStore
    ) throws -> Claim? {
        let swap = Swap(of: target, from: seen.latest, in: store)
        let next = try swap.prepare(state)
        let claiming = Swap(of: source, from: base, in: store)
        let tombstone = try claiming.prepare(
            .tombstone(
                for: state,
                movingTo: .init(name: target.description, digest: next.body.digest)))
        // A reader of the claim goes on to read the state that it names.
        try store.write([.manifest(next.body), .manifest(tombstone.body)])
        do {
            switch try claiming.advance(to: tombstone) {
            case .lost: return nil
            // It was published, and another has taken the state up by now.
            case .won(nil):
                throw RenamingFailure(self, LifecycleError.busy(source), standing(last, in: store))
            case .won(let etag?):
                return Claim(
                    swap: swap, next: next,
                    tombstone: Snapshot(
                        repository: source, etag: etag, digest: tombstone.body.digest,
                        manifest: tombstone.manifest))
            }
        } catch let error as StoreError where error.leavesSwapUnknown {
            throw RenamingFailure(self, error, .mayHaveBegun)
        }
    }

    /// Publishes the claimed state under the new name. If that has changed since the claim, and has no
    /// repository, another claim is made on top.
    private func finish(
        _ claim: inout Claim, _ state: Manifest, _ last: Digest, in store: any ObjectStore
    ) throws -> Done {
        for _ in 0..<LifecycleError.attempts {
            if case .won = try claim.swap.advance(to: claim.next) {
                return Done(digest: claim.next.body.digest, manifest: claim.next.manifest)
            }
            let seen = try Snapshot.resolve(target, in: store)
            if case .live = seen { throw targetPresent }
            guard let next = try lay(state, last, on: claim.tombstone, seen, in: store) else {
                throw RenamingFailure(self, LifecycleError.busy(source), standing(last, in: store))
            }
            claim = next
        }
        throw LifecycleError.busy(target)
    }

    /// Whether what is under the new name is the repository that was to be renamed.
    private func isDone(
        _ snapshot: Snapshot, _ past: PastState, in store: any ObjectStore
    ) throws -> Bool {
        // Tombstones of older releases claim nothing.
        if past.claims.isEmpty { return snapshot.manifest.isSameState(as: past.snapshot.manifest) }
        return try past.wasPublished(as: snapshot, in: store)
    }

    private var targetPresent: LifecycleError { .present(target, remedy: ".") }

    /// Restores the old name, unless another command has taken over.
    private func undo(
        _ claim: Claim, _ state: Manifest, _ last: Digest, in store: any ObjectStore, log: Logger
    ) -> RenamingFailure.Standing {
        do {
            let swap = Swap(of: source, from: claim.tombstone, in: store)
            if case .won = try swap.publish(state) { return .undone }
            return standing(last, in: store)
        } catch {
            log.error("could not undo a rename", metadata: ["error": "\(error)"])
            return .begun
        }
    }

    /// How things stand after another command has taken over the old name.
    private func standing(
        _ last: Digest, in store: any ObjectStore
    ) -> RenamingFailure.Standing {
        // Where it cannot be read, it is not known to be there.
        if case .live? = try? Snapshot.resolve(source, in: store) {
            return .sourceTaken(last: last)
        }
        return .overtaken(last: last)
    }
}

extension StoreError {
    /// Whether a swap that ended so may have landed. What failed before it in passing has not
    /// touched the pointer.
    fileprivate var leavesSwapUnknown: Bool {
        if case .undetermined = self { true } else { false }
    }
}
