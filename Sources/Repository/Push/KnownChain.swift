import Bytes
import ObjectStore

/// A state that this process knows to be published, and what it knows of the states before it.
///
/// Bounded: what was known of older states is given up. They can be read again.
struct KnownChain: Sendable {
    /// The latest state.
    private(set) var tip: Base
    /// The digests of the tip and of its ancestors, without a gap, the oldest first. The oldest is
    /// nil once they were followed to the first state, which had none before it.
    private var followed: [Digest?]
    /// The same, to be looked up.
    private var members: Set<Digest?>
    /// Older ancestors that somebody needs.
    private var needed: Set<Digest?> = []
    /// How to go on from the oldest.
    private var oldest: Oldest

    /// States that are remembered; up to as many again before the older ones are given up.
    static let capacity = 1000

    private enum Oldest {
        /// Its manifest is at hand.
        case read(Manifest)
        case unread(Digest)
        /// Nothing more is to be followed: the first state, or a tombstone. What lies before that
        /// is another repository, which was deleted.
        case end
    }

    /// Starts with a state of whose ancestors nothing is known.
    init(_ tip: Base) {
        self.tip = tip
        followed = [tip.digest]
        members = [tip.digest]
        switch tip {
        case .published(let snapshot): oldest = .read(snapshot.manifest)
        case .nothing: oldest = .end
        }
    }

    /// Whether the chain was followed to its end, so that a state that is not in it is not an ancestor.
    var isComplete: Bool { if case .end = oldest { true } else { false } }

    /// States that are remembered.
    var count: Int { followed.count + needed.count }

    /// Whether a state is known to be the tip, or an ancestor of it.
    func includes(_ digest: Digest?) -> Bool {
        members.contains(digest) || needed.contains(digest)
    }

    /// Adds a state that was published on top of the tip.
    mutating func advance(to snapshot: Snapshot) {
        tip = .published(snapshot)
        followed.append(snapshot.digest)
        members.insert(snapshot.digest)
        giveUpOldest()
    }

    /// Follows the ancestors until all of `digests` are found, or there are no more. Those that are
    /// found stay known until the next time.
    ///
    /// - Parameters:
    ///   - others: what was known before: it is not read again.
    ///   - bound: manifests read at most.
    /// - Throws: ``StoreError`` or ``RepositoryError`` when a manifest cannot be read.
    mutating func follow(
        downTo digests: [Digest?], by ancestry: Ancestry, joining others: [KnownChain] = [],
        atMost bound: Int = Ancestry.bound
    ) throws {
        let wanted = Set(digests)
        defer {
            needed = wanted.filter { includes($0) }
            giveUpOldest()
            needed.subtract(members)
        }
        // The oldest last.
        var older: [Digest?] = []
        defer { followed = older.reversed() + followed }

        func join(_ other: KnownChain, _ older: inout [Digest?]) {
            older += other.followed.dropLast().reversed()
            members.formUnion(other.members)
            needed.formUnion(other.needed)
            oldest = other.oldest
        }
        // The same state, observed again.
        if followed.count == 1, let other = others.first(where: { $0.tip.digest == tip.digest }) {
            join(other, &older)
        }
        let end = ContinuousClock.now + Ancestry.patience
        for _ in 0..<bound where ContinuousClock.now < end {
            if wanted.allSatisfy(includes) { return }
            let manifest: Manifest
            switch oldest {
            case .end: return
            case .read(let known): manifest = known
            case .unread(let digest): manifest = try ancestry.manifest(digest)
            }
            guard manifest.kind == .live else {
                oldest = .end
                return
            }
            older.append(manifest.parent)
            members.insert(manifest.parent)
            oldest = manifest.parent.map(Oldest.unread) ?? .end
            if let other = others.first(where: { $0.tip.digest == manifest.parent }) {
                join(other, &older)
            }
        }
    }

    private mutating func giveUpOldest() {
        guard followed.count > 2 * Self.capacity else { return }
        let rest = followed.suffix(Self.capacity)
        // Only the very first state has none before it.
        guard case let first?? = rest.first else { return }
        followed = Array(rest)
        members = Set(followed)
        oldest = .unread(first)
    }
}
