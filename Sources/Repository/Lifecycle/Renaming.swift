package import Logging
package import ObjectStore

/// Gives a repository another name. That takes two pointers, and a store swaps one at a time: the old
/// name becomes a tombstone, which pins the last state, and then the new name gets that state.
///
/// In between there is neither, with everything kept: the renaming can be finished, or the old name
/// restored. At no time can both be pushed to.
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

    /// Renames.
    ///
    /// - Throws: ``LifecycleError``, or what stands in the way: nothing was changed.
    ///   ``RenamingFailure``: it says how things stand.
    package func run(in hydration: Hydration, log: Logger) throws -> Done {
        let store = hydration.store
        if source == target { throw LifecycleError.sameName(source) }
        if case .live = try Snapshot.resolve(target, in: store) { throw targetPresent }

        let deletion: (done: Deletion.Done, value: Manifest)
        do {
            deletion = try Deletion(of: source).run(in: store) {
                try hydration.publishableState(of: $0, log: log)
            }
        } catch LifecycleError.deleted {
            throw LifecycleError.nothingToRename(source, to: target)
        } catch let error as StoreError where error.leavesSwapUnknown {
            throw RenamingFailure(self, error, .mayHaveBegun)
        }
        FaultPoint.reach(.renameTombstoned)

        do {
            return try publish(deletion.value, in: store)
        } catch let error as StoreError where error.leavesSwapUnknown {
            throw RenamingFailure(self, error, .mayBeDone)
        } catch {
            throw RenamingFailure(self, error, undo(deletion.done, in: hydration, log: log))
        }
    }

    /// Finishes a renaming that was cut off: the old name is a tombstone, the new one is not there.
    /// One that turns out to be done is left as it is.
    ///
    /// - Throws: ``LifecycleError``, or what stands in the way.
    package func resume(in hydration: Hydration, log: Logger) throws -> Done {
        let store = hydration.store
        if source == target { throw LifecycleError.sameName(source) }
        switch try Snapshot.resolve(source, in: store) {
        case .absent: throw LifecycleError.absent(source, location: store.location)
        case .live:
            throw LifecycleError.present(
                source, remedy: ", and no renaming of it was cut off: leave out --resume.")
        case .deleted(let tombstone):
            let last = try Restoration.state(before: tombstone, in: store)
            return try publish(try hydration.publishableState(of: last, log: log), in: store)
        }
    }

    /// Publishes a state under the new name, where there is none.
    private func publish(_ state: Manifest, in store: any ObjectStore) throws -> Done {
        for _ in 0..<LifecycleError.attempts {
            let resolution = try Snapshot.resolve(target, in: store)
            if case .live(let snapshot) = resolution {
                guard snapshot.manifest.isSameState(as: state) else { throw targetPresent }
                return Done(digest: snapshot.digest, manifest: snapshot.manifest)
            }
            let swap = Swap(of: target, from: resolution.latest, in: store)
            if case .won(let digest, let manifest) = try swap.publish(state) {
                return Done(digest: digest, manifest: manifest)
            }
        }
        throw LifecycleError.busy(target)
    }

    private var targetPresent: LifecycleError { .present(target, remedy: ".") }

    /// Restores the old name, unless somebody has made it anew.
    private func undo(
        _ deletion: Deletion.Done, in hydration: Hydration, log: Logger
    ) -> RenamingFailure.Standing {
        do {
            _ = try Restoration(of: source, to: deletion.last.digest).run(in: hydration, log: log)
            return .undone
        } catch LifecycleError.present {
            return .sourceTaken(last: deletion.last.digest)
        } catch {
            log.error("could not undo a renaming", metadata: ["error": "\(error)"])
            return .begun
        }
    }
}

/// Why a renaming that had begun did not come to its end, and how things stand.
package struct RenamingFailure: Error, CustomStringConvertible {
    let renaming: Renaming
    package let cause: any Error
    package let standing: Standing

    /// How things stand.
    package enum Standing: Equatable, Sendable {
        /// The old name is there again, as it was.
        case undone
        /// The old name is a tombstone, and the new one is not there.
        case begun
        /// The old name may be a tombstone; the new one is not there.
        case mayHaveBegun
        /// The old name is a tombstone; the new one may be there.
        case mayBeDone
        /// Somebody made the old name anew; `last` is the state that it had.
        case sourceTaken(last: Digest)
    }

    init(_ renaming: Renaming, _ cause: any Error, _ standing: Standing) {
        self.renaming = renaming
        self.cause = cause
        self.standing = standing
    }

    package var description: String {
        let (source, target) = (renaming.source, renaming.target)
        let ways =
            "'git-s3-backend rename --resume \(source) \(target)' finishes it, 'git-s3-backend "
            + "restore \(source)' undoes it."
        let how =
            switch standing {
            case .undone: "'\(source)' is as it was."
            case .begun: "'\(source)' is deleted, and all of it is kept: \(ways)"
            case .mayHaveBegun: "If '\(source)' is gone, all of it is kept: \(ways)"
            case .mayBeDone:
                "'\(source)' is deleted. If '\(target)' is not there, all of it is kept: \(ways)"
            case .sourceTaken(let last):
                "'\(source)' was created anew meanwhile. Its last state is kept: delete the new "
                    + "one, and 'git-s3-backend restore --manifest \(last) \(source)' brings it back."
            }
        return "Could not rename '\(source)' to '\(target)': \(cause) \(how)"
    }
}

extension StoreError {
    /// Whether a swap that ended so may have landed. What failed before it in passing has not
    /// touched the pointer.
    fileprivate var leavesSwapUnknown: Bool {
        switch self {
        case .undetermined, .nonConforming: true
        default: false
        }
    }
}

extension Manifest {
    /// Whether two manifests say the same, whatever came before them.
    fileprivate func isSameState(as other: Manifest) -> Bool {
        var copy = self
        copy.parent = other.parent
        return copy == other
    }
}
