import Bytes
import Repository
import ObjectStore

/// A state of a repository from before its deletion or renaming, and the claims of renamings that
/// have been made to it since.
///
/// A renaming writes two pointers, and the second write may come late, after another command has taken
/// over the state. So each one first *claims* the state: it looks at the new name, then swaps the
/// old one to a tombstone that names the new one and the very state that is to be published there,
/// and only then publishes it, predicated on what it saw before it claimed. Any other command that
/// takes over reads those claims and closes each one first, by swapping the new name's pointer, so that
/// the claimant's swap cannot succeed any more; or sees that it has succeeded, and abandons its work.
struct PastState {
    /// With the token of the tombstone that it was found under.
    let snapshot: Snapshot
    /// The lives of its name down to its own.
    private let lives: NameLives
    /// The states above it.
    private let above: Set<Digest>

    /// Finds a state that was published before a tombstone was.
    ///
    /// - Parameter wanted: nil: the last one that is no tombstone.
    init(
        _ wanted: Digest? = nil, before tombstone: Snapshot, in manifests: Manifests
    ) throws {
        var lives = NameLives()
        var above: Set<Digest> = []
        var state = tombstone
        while state.manifest.kind == .tombstone || (wanted.map { $0 != state.digest } ?? false) {
            if state.digest == wanted {
                throw LifecycleError.noSuchState(tombstone.repository, state.digest)
            }
            above.insert(state.digest)
            lives.pass(state)
            guard let before = try manifests.parent(of: state) else {
                throw wanted.map { LifecycleError.noSuchState(tombstone.repository, $0) }
                    ?? LifecycleError.neverLive(tombstone.repository)
            }
            state = before
        }
        snapshot = state
        self.above = above

        // Other lives of the name may have begun with one of the states before this one.
        lives.pass(state)
        while lives.mayBeRelated, let before = try manifests.parent(of: state),
            before.manifest.kind == .live
        {
            state = before
            lives.pass(state)
        }
        self.lives = lives
    }

    /// The claims to its repository that are above it, the latest first.
    var claims: [Manifest.Destination] { lives.claims }

    /// Ensures that none of the claims can be fulfilled any more.
    ///
    /// - Parameter target: a name to which the caller itself lays claim next, which supersedes what
    ///   was claimed for it before.
    /// - Throws: ``LifecycleError/renamed(_:to:)`` if one was fulfilled: the repository has another
    ///   name.
    func closeClaims(except target: RepositoryName? = nil, in manifests: Manifests) throws {
        // A repository that has come back may have been claimed again since.
        var lives = lives
        var closed: Set<Manifest.Destination> = []
        while let claim = lives.claims.first(where: { !closed.contains($0) }) {
            closed.insert(claim)
            for beginning in try close(claim, except: target, in: manifests) {
                lives.join(lifeBeginningWith: beginning)
            }
        }
    }

    /// Whether the repository was published under a name by a renaming, and `latest` there is a state
    /// of it.
    func wasPublished(as latest: Snapshot, in manifests: Manifests) throws -> Bool {
        let name = latest.repository
        return try claims.contains { claim in
            try RepositoryName(claim.name) == name
                && claim.isPublished(
                    in: latest, on: claim.parent(at: name, in: manifests), manifests)
                && claim.lives(upTo: latest, in: manifests)?.isLatest == true
        }
    }

    /// Ensures that a claim cannot be fulfilled any more.
    ///
    /// - Returns: what the repository came back with, if the claim was fulfilled.
    private func close(
        _ claim: Manifest.Destination, except target: RepositoryName?, in manifests: Manifests
    ) throws -> Set<Digest> {
        guard let name = RepositoryName(claim.name) else {
            throw LifecycleError.strangeName(snapshot.repository, to: claim.name)
        }
        let parent = try claim.parent(at: name, in: manifests)
        for _ in 0..<LifecycleError.attempts {
            let latest = try manifests.resolve(name).latest
            if let latest, try claim.isPublished(in: latest, on: parent, manifests) {
                var followed: Set<Manifest.Destination> = []
                let returns = try returns(of: claim, upTo: latest, manifests, &followed)
                guard returns.isEmpty else { return returns }
                throw LifecycleError.renamed(snapshot.repository, to: name)
            }
            // The pointer has moved on from what the claimant saw, and returns to nothing.
            guard latest?.digest == parent else { return [] }
            if name == target { return [] }
            let swap = Swap(of: name, from: latest, in: manifests)
            if case .won = try swap.publish(.tombstone(for: snapshot.manifest)) { return [] }
        }
        throw LifecycleError.busy(name)
    }

    /// The states above this one with which the repository came back, by renamings of what a claim
    /// published. What else was under the other names meanwhile is followed nowhere.
    private func returns(
        of claim: Manifest.Destination, upTo latest: Snapshot, _ manifests: Manifests,
        _ followed: inout Set<Manifest.Destination>
    ) throws -> Set<Digest> {
        guard let lives = try claim.lives(upTo: latest, in: manifests) else { return [] }
        var returns: Set<Digest> = []
        for next in lives.claims where followed.insert(next).inserted {
            guard let name = RepositoryName(next.name) else { continue }
            if name == snapshot.repository {
                if above.contains(next.digest) { returns.insert(next.digest) }
            } else if let current = try manifests.resolve(name).latest,
                try next.isPublished(
                    in: current, on: next.parent(at: name, in: manifests), manifests)
            {
                returns.formUnion(try self.returns(of: next, upTo: current, manifests, &followed))
            }
        }
        return returns
    }
}

extension Manifest.Destination {
    /// The state that the claimed one is published on top of; nil if there is none.
    fileprivate func parent(at name: RepositoryName, in manifests: Manifests) throws -> Digest? {
        try manifests.manifest(digest, of: name).parent
    }

    /// The lives of its name, from the latest down to the one that begins with the claimed state; nil:
    /// it was not published.
    fileprivate func lives(upTo latest: Snapshot, in manifests: Manifests) throws -> NameLives? {
        var lives = NameLives()
        var state = latest
        while state.digest != digest {
            lives.pass(state)
            guard let before = try manifests.parent(of: state) else { return nil }
            state = before
        }
        lives.pass(state)
        return lives
    }

    /// Whether the claimed state is the latest one under its name, or an ancestor of it.
    fileprivate func isPublished(
        in latest: Snapshot, on parent: Digest?, _ manifests: Manifests
    ) throws -> Bool {
        if latest.digest == digest { return true }
        let ancestry = Ancestry(repository: latest.repository, manifests: manifests)
        switch ancestry.lineage(of: digest, in: latest.digest, downTo: [parent]) {
        case .includesOurs: return true
        case .excludesOurs: return false
        case .unknown(let reason):
            throw LifecycleError.untold(latest.repository, reason: reason)
        }
    }
}
