import Bytes
import ObjectStore
import Repository

/// The lives of a name, from one tombstone to the next, while its chain is followed from the latest
/// state to older ones. A life that begins with a state of an earlier life is that repository,
/// restored. Any other is a different repository, whose renames do not concern the first one.
struct NameLives {
    /// The lives, the latest first.
    private var lives: [Life] = []
    /// The claims of the tombstones that were passed since the last live state.
    private var pending: [Manifest.Destination] = []
    /// The state that was passed last; nil if it was a tombstone.
    private var current: Snapshot?

    private struct Life {
        /// The claims of the tombstones that ended it.
        let claims: [Manifest.Destination]
        /// The digest of its first state, as far as it was followed.
        var beginning: Digest
        /// Its first state; nil if that is not known yet, or could belong to any repository.
        var first: Manifest?
        /// The index of the earlier life that it was restored from.
        var origin: Int?
    }

    /// Adds the next older state.
    mutating func pass(_ state: Snapshot) {
        let manifest = state.manifest
        guard manifest.kind == .live else {
            endLife()
            if let claim = manifest.destination { pending.append(claim) }
            return
        }
        if current == nil {
            lives.append(Life(claims: pending, beginning: state.digest))
            pending = []
        }
        current = state
        lives[lives.count - 1].beginning = state.digest
        for index in lives.indices.dropLast() where lives[index].origin == nil {
            if let first = lives[index].first, first.isSameState(as: manifest) {
                lives[index].origin = lives.count - 1
            }
        }
    }

    /// Whether a later life with claims may turn out to have been restored from the current one.
    var mayBeRelated: Bool {
        lives.dropLast().contains { $0.origin == nil && $0.first != nil && !$0.claims.isEmpty }
    }

    /// The claims to the repository of the state that was added last, the latest first.
    var claims: [Manifest.Destination] {
        var seen: Set<Manifest.Destination> = []
        return lives.indices.filter { origin(of: $0) == lives.count - 1 }.flatMap {
            lives[$0].claims
        }
        .filter { seen.insert($0).inserted }
    }

    /// Joins a later life, specified by its first state, with the repository of the state that was
    /// added last: that repository is known to have come back, whatever was pushed to it elsewhere.
    mutating func join(lifeBeginningWith digest: Digest) {
        guard let index = lives.firstIndex(where: { $0.beginning == digest }) else { return }
        let origin = origin(of: index)
        if origin != lives.count - 1 { lives[origin].origin = lives.count - 1 }
    }

    /// Whether the latest life belongs to the repository of the state that was added last.
    var isLatest: Bool { !lives.isEmpty && origin(of: 0) == lives.count - 1 }

    private mutating func endLife() {
        guard let first = current?.manifest else { return }
        current = nil
        // An empty first state proves nothing, because every new repository is empty.
        if !first.refs.isEmpty || !first.packs.isEmpty { lives[lives.count - 1].first = first }
    }

    private func origin(of index: Int) -> Int {
        var index = index
        while let origin = lives[index].origin { index = origin }
        return index
    }
}

extension Manifest {
    /// Whether two manifests have the same contents, whatever came before them. `peeled` is
    /// ignored, since older writers omit it.
    func isSameState(as other: Manifest) -> Bool {
        head == other.head && objectFormat == other.objectFormat && packs == other.packs
            && refs == other.refs
    }
}
