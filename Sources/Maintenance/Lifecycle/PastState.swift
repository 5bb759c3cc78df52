import Bytes
import ObjectStore
import Repository

/// A state of a repository from before its deletion or rename, with the claims that renames have
/// made to it since.
///
/// A rename writes two pointers, and the second write may arrive late, after another command has
/// taken over the state. So each rename first *claims* the state: it reads the new name, then swaps
/// the old name to a tombstone that specifies the new name and exactly the state to be published
/// there, and only then publishes it, predicated on what it read before the claim. Any other
/// command that takes over reads those claims and closes each one first, by swapping the new name's
/// pointer, so that the claimant's swap can no longer succeed. If it has succeeded, the other
/// command gives up.
struct PastState {
    /// The state, with the token of the tombstone that it was found under.
    let snapshot: Snapshot
    /// The lives of its name, down to its own.
    private let lives: NameLives
    /// The states after it.
    private let above: Set<Digest>

    /// Finds a state that was published before a tombstone.
    ///
    /// - Parameter wanted: the digest of the state; nil for the last one that is not a tombstone.
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

        // Other lives of the name may have begun with a state before this one.
        lives.pass(state)
        while lives.mayBeRelated, let before = try manifests.parent(of: state),
            before.manifest.kind == .live
        {
            state = before
            lives.pass(state)
        }
        self.lives = lives
    }

    /// The later claims to its repository, the latest first.
    var claims: [Manifest.Destination] { lives.claims }

    /// Ensures that none of the claims can be fulfilled any longer.
    ///
    /// - Parameter target: a name that the caller claims next, which supersedes earlier claims for
    ///   it.
    /// - Throws: ``LifecycleError/renamed(_:to:)`` if a claim was fulfilled, so that the repository
    ///   has another name.
    func closeClaims(except target: RepositoryName? = nil, in manifests: Manifests) throws {
        // A repository that came back may have been claimed again since.
        var lives = lives
        var closed: Set<Manifest.Destination> = []
        while let claim = lives.claims.first(where: { !closed.contains($0) }) {
            closed.insert(claim)
            for beginning in try close(claim, except: target, in: manifests) {
                lives.join(lifeBeginningWith: beginning)
            }
        }
    }

    /// Whether a rename published the repository under another name, and `latest` is a state of it
    /// there.
    func wasPublished(as latest: Snapshot, in manifests: Manifests) throws -> Bool {
        let name = latest.repository
        return try claims.contains { claim in
            try RepositoryName(claim.name) == name
                && claim.isPublished(
                    in: latest, on: claim.parent(at: name, in: manifests), manifests)
                && claim.lives(upTo: latest, in: manifests)?.isLatest == true
        }
    }

    /// Ensures that a claim cannot be fulfilled any longer.
    ///
    /// - Returns: the states with which the repository came back, if the claim was fulfilled.
    private func close(
        _ claim: Manifest.Destination, except target: RepositoryName?, in manifests: Manifests
    ) throws -> Set<Digest> {
        guard let name = RepositoryName(claim.name) else {
            throw LifecycleError.strangeName(snapshot.repository, to: claim.name)
        }
        let parent = try claim.parent(at: name, in: manifests)
        return try Swap.repeated(
            attempts: LifecycleError.attempts, orThrow: LifecycleError.busy(name)
        ) {
            let latest = try manifests.resolve(name).latest
            if let latest, try claim.isPublished(in: latest, on: parent, manifests) {
                var followed: Set<Manifest.Destination> = []
                let returns = try returns(of: claim, upTo: latest, manifests, &followed)
                guard returns.isEmpty else { return returns }
                throw LifecycleError.renamed(snapshot.repository, to: name)
            }
            // The pointer has left the value that the claimant saw, and never returns to an earlier
            // one.
            guard latest?.digest == parent else { return [] }
            if name == target { return [] }
            let swap = Swap(of: name, from: latest, in: manifests)
            return try swap.publish(.tombstone(for: snapshot.manifest)).state == nil ? nil : []
        }
    }

    /// The later states with which the repository came back, through renames of the state that a
    /// claim published. Other repositories that had the other names in the meantime are not
    /// followed.
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
    /// The parent of the claimed state; nil if it has none.
    fileprivate func parent(at name: RepositoryName, in manifests: Manifests) throws -> Digest? {
        try manifests.manifest(digest, of: name).parent
    }

    /// The lives of its name, from the latest to the one that begins with the claimed state; nil if
    /// that was not published.
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
