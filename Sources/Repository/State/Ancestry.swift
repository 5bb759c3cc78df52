package import ObjectStore

/// The chain of manifests behind a published one.
package struct Ancestry {
    let repository: RepositoryName
    let store: any ObjectStore

    package init(repository: RepositoryName, store: any ObjectStore) {
        self.repository = repository
        self.store = store
    }

    /// Manifests read at most, before the answer is "unknown".
    static let bound = 10_000
    /// The longest time spent on reading them.
    static let patience = Duration.seconds(60)

    /// Whether `ours` is among the ancestors of `current`.
    ///
    /// - Parameter known: where following them ends: states that were published before `ours` was
    ///   first sent, the one that `ours` was derived from among them. `current` may be one itself,
    ///   as when only the pointer's token has changed.
    package func lineage(
        of ours: Digest, in current: Digest, downTo known: Set<Digest?>
    ) -> Lineage {
        if known.contains(current) { return .excludesOurs }
        let end = ContinuousClock.now + Self.patience
        var next = current
        for _ in 0..<Self.bound {
            let manifest: Manifest
            do {
                manifest = try self.manifest(next)
            } catch {
                return .unknown(reason: "\(error)")
            }
            if manifest.parent == ours { return .includesOurs }
            guard let before = manifest.parent, !known.contains(before) else {
                return .excludesOurs
            }
            next = before
            if ContinuousClock.now > end {
                return .unknown(reason: "the newer states could not be read in time")
            }
        }
        return .unknown(reason: "more than \(Self.bound) newer states were published")
    }

    /// Reads one manifest of the chain.
    func manifest(_ digest: Digest) throws -> Manifest {
        try Snapshot.manifest(digest, of: repository, in: store)
    }
}
