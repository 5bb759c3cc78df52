import ObjectStore

/// The chain of manifests behind a published one.
struct Ancestry {
    let repository: RepositoryName
    let store: any ObjectStore

    /// Manifests read at most, before the answer is "unknown". Between reading the pointer and
    /// swapping it no repository sees as many pushes.
    static let bound = 1000

    /// Whether `ours` is among the ancestors of `current`, which are followed down to `parent`,
    /// the state that ours was derived from.
    func lineage(of ours: Digest, in current: Digest, downTo parent: Digest?) -> Lineage {
        var next = current
        for _ in 0..<Self.bound {
            let manifest: Manifest
            do {
                manifest = try self.manifest(next)
            } catch {
                return .unknown(reason: "\(error)")
            }
            guard let before = manifest.parent else { return .excludesOurs }
            if before == ours { return .includesOurs }
            if before == parent { return .excludesOurs }
            next = before
        }
        return .unknown(reason: "more than \(Self.bound) states were published since")
    }

    /// Reads one manifest of the chain.
    func manifest(_ digest: Digest) throws -> Manifest {
        try Snapshot.manifest(digest, of: repository, in: store)
    }
}
