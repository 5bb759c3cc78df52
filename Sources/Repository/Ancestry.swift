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
                manifest = try Snapshot.manifest(next, of: repository, in: store)
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

    /// The state that a pointer names, if it is `parent` or was published on top of it; nil if that is not
    /// among its ancestors, or cannot be found there.
    func winner(_ pointer: PointerValue, over parent: Digest) throws -> Snapshot? {
        let manifest = try Snapshot.manifest(pointer.digest, of: repository, in: store)
        var before: Digest? = pointer.digest
        for _ in 0..<Self.bound {
            guard let digest = before else { return nil }
            // The pointer itself, where it was only written anew.
            if digest == parent {
                return Snapshot(
                    repository: repository, etag: pointer.etag, digest: pointer.digest,
                    manifest: manifest)
            }
            before = try Snapshot.manifest(digest, of: repository, in: store).parent
        }
        return nil
    }
}
