import Bytes
import ObjectStore
import Repository

/// Publishes the pushes that wait at one repository, as many as possible with each swap.
///
/// Used by one thread at a time.
struct SharedSwap: Sendable {
    let repository: RepositoryName
    let manifests: Manifests
    /// The known part of the published chain; nil if nothing is known.
    private(set) var chain: KnownChain?
    /// Swaps lost since the last one that was won.
    private var losses = 0

    init(of repository: RepositoryName, in manifests: Manifests) {
        self.repository = repository
        self.manifests = manifests
    }

    /// Candidates that share a swap, with their positions, and the state that it publishes.
    private struct Group {
        private(set) var members: [(position: Int, candidate: Candidate)]
        private(set) var manifest: Manifest
        /// The bytes of the manifest, if they are stored already.
        private(set) var stored: ObjectBody?

        init?(_ first: Candidate, _ position: Int, on base: Base) {
            guard let manifest = first.applied(to: nil, on: base) else { return nil }
            members = [(position, first)]
            self.manifest = manifest
            if base.digest == first.parent.digest { stored = first.stored }
        }

        /// Takes another candidate, if it can share the swap with the others.
        mutating func take(
            _ candidate: Candidate, _ position: Int, on base: Base
        ) {
            guard let next = candidate.applied(to: manifest, on: base) else { return }
            manifest = next
            stored = nil
            members.append((position, candidate))
        }
    }

    /// Tries one swap for all candidates that can share it, in their order. The first of them is
    /// settled, or the swap was tried for it.
    ///
    /// A candidate is refused only because of a published state. If it conflicts with another
    /// candidate, it waits.
    mutating func round(_ candidates: [Candidate]) -> [Candidate.Outcome] {
        var outcomes = candidates.map(Candidate.Outcome.waiting)
        guard let first = candidates.first else { return outcomes }

        let former = chain
        let known = knownChain(for: first.parent)
        chain = known
        var group: Group?
        for (position, candidate) in candidates.enumerated()
        where known.includes(candidate.parent.digest) {
            switch candidate.judged(on: known.tip) {
            case .settled(let settlement): outcomes[position] = .settled(settlement)
            case .waiting(let rest):
                outcomes[position] = .waiting(rest)
                if group == nil {
                    group = Group(rest, position, on: known.tip)
                } else {
                    group?.take(rest, position, on: known.tip)
                }
            }
        }
        if let group { swap(for: group, known, former, &outcomes) }
        return outcomes
    }

    /// Waits before the next round if the last swaps were lost: processes that lost against each
    /// other must not return at the same moment.
    func pause() {
        if losses == 0 { return }
        let policy = manifests.store.retryPolicy
        RetryPolicy(
            base: policy.base, ceiling: min(policy.ceiling, Self.longestPause)
        ).pause(before: losses)
    }

    /// The longest wait after a loss. The store's own ceiling is for an overloaded store.
    private static let longestPause = Duration.seconds(1)

    /// The known chain, if it reaches back to `parent` or ends in the state that `parent` was published
    /// on. Otherwise others have published in the meantime, and only `parent` is known.
    private func knownChain(for parent: Base) -> KnownChain {
        guard var chain else { return KnownChain(parent) }
        if chain.includes(parent.digest) { return chain }
        guard case .published(let snapshot) = parent,
            snapshot.manifest.parent == chain.tip.digest
        else { return KnownChain(parent) }
        chain.advance(to: snapshot)
        return chain
    }

    /// Swaps for a group.
    ///
    /// - Parameter former: the chain that was known before `known`. It differs if its tip, published or
    ///   superseded by now, is neither known to be on top of the parent nor below it.
    private mutating func swap(
        for group: Group, _ known: KnownChain, _ former: KnownChain?,
        _ outcomes: inout [Candidate.Outcome]
    ) {
        var group = group
        chain = nil
        do {
            let base = known.tip
            let digest = try store(&group, on: base)
            // A state that has not been sent yet cannot be an ancestor of one that is published.
            var published: Set<Digest?> = []
            if let former { published.insert(former.tip.digest) }
            switch try Swap(on: base, in: manifests).advance(to: digest, after: published) {
            case .won(let etag):
                FaultPoint.reach(.pushSwapped)
                losses = 0
                let state = PublishedState(
                    digest: digest, manifest: group.manifest,
                    packsBefore: base.manifest.packs.count)
                for (position, candidate) in group.members {
                    outcomes[position] = .settled(.published(state, moved: candidate.moved))
                }
                guard let etag else { return }
                let snapshot = Snapshot(
                    repository: repository, etag: etag, digest: digest, manifest: group.manifest)
                chain = extended(known, to: snapshot, for: outcomes)
            case .lost(let current):
                losses += 1
                for (position, candidate) in group.members {
                    outcomes[position] =
                        candidate.afterLoss().map(Candidate.Outcome.waiting)
                        ?? .settled(.lost(.attemptsUsedUp, moved: candidate.moved))
                }
                try learn(current, [known] + (former.map { [$0] } ?? []), &outcomes)
            }
        } catch {
            for (position, _) in group.members {
                if case .settled = outcomes[position] { continue }
                outcomes[position] = .settled(.failed(error))
            }
        }
    }

    /// Stores the manifest of a group.
    private func store(_ group: inout Group, on base: Base) throws -> Digest {
        if let stored = group.stored { return stored.digest }
        let bytes: [UInt8]
        do {
            bytes = try group.manifest.bytesToPublish()
        } catch {
            // A group may be too large together, which must not harm the first of its members.
            guard group.members.count > 1,
                let first = group.members.first.flatMap({
                    Group($0.candidate, $0.position, on: base)
                })
            else { throw error }
            group = first
            bytes = try group.manifest.bytesToPublish()
        }
        let body = ObjectBody.bytes(bytes)
        try manifests.write([.manifest(body)])
        return body.digest
    }

    /// The known chain after a swap that was won.
    private func extended(
        _ known: KnownChain, to snapshot: Snapshot, for outcomes: [Candidate.Outcome]
    ) -> KnownChain {
        var chain = known
        chain.advance(to: snapshot)
        // Pending pushes were received on older states. If their ancestry cannot be read now, the
        // only cost is a futile retry.
        try? chain.follow(
            downTo: outcomes.parentsOfWaiting,
            by: Ancestry(repository: repository, manifests: manifests), atMost: KnownChain.capacity)
        return chain
    }

    /// Reads the state that a swap was lost to, and its ancestors down to the parents of all waiting
    /// candidates.
    private mutating func learn(
        _ current: PointerValue, _ known: [KnownChain],
        _ outcomes: inout [Candidate.Outcome]
    ) throws {
        let parents = outcomes.parentsOfWaiting
        if parents.isEmpty { return }
        let ancestry = Ancestry(repository: repository, manifests: manifests)
        var chain = KnownChain(
            .published(
                Snapshot(
                    repository: repository, etag: current.etag, digest: current.digest,
                    manifest: try ancestry.manifest(current.digest))))
        try chain.follow(downTo: parents, by: ancestry, joining: known)
        // A candidate whose parent is behind more states than are followed has lost as well.
        let cause = chain.isComplete ? LostPush.Cause.replaced : .attemptsUsedUp
        for (position, outcome) in outcomes.enumerated() {
            guard case .waiting(let candidate) = outcome,
                !chain.includes(candidate.parent.digest)
            else { continue }
            outcomes[position] = .settled(.lost(cause, moved: candidate.moved))
        }
        self.chain = chain
    }
}

extension [Candidate.Outcome] {
    /// The digests of the states on which the waiting candidates were received.
    fileprivate var parentsOfWaiting: [Digest?] {
        compactMap { outcome -> Digest?? in
            if case .waiting(let candidate) = outcome { candidate.parent.digest } else { nil }
        }
    }
}

/// A state that this process knows to be published, and the known states before it.
///
/// The number of remembered states is bounded: older ones are dropped, and can be read again.
struct KnownChain: Sendable {
    /// The latest state.
    private(set) var tip: Base
    /// The digests of the tip and of its ancestors, without a gap, the oldest first. The oldest is
    /// nil once they were followed to the first state, which had none before it.
    private var followed: [Digest?]
    /// The same, to be looked up.
    private var members: Set<Digest?>
    /// Older ancestors on which a waiting push was received.
    private var needed: Set<Digest?> = []
    /// How to continue from the oldest.
    private var oldest: Oldest

    /// The number of remembered states; twice as many before the older ones are dropped.
    static let capacity = 1000

    private enum Oldest {
        /// Its manifest is known.
        case read(Manifest)
        case unread(Digest)
        /// The first state, or a tombstone: the states before that are those of another repository,
        /// which was deleted.
        case end
    }

    /// Starts with a state whose ancestors are unknown.
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

    /// The number of remembered states.
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

    /// Follows the ancestors until all of `digests` are found, or the chain ends. The found ones stay
    /// known until the next call.
    ///
    /// In this example a swap on top of D was lost to G, and waiting pushes were received on B and C.
    /// The chain with the tip D, which was known before, saves reading D, C and B again:
    ///
    ///     parent   A ◄── B ◄── C ◄── D ◄── E ◄── F ◄── G   tip
    ///                    │     │     │     └─────┴─────┘
    ///                    │     │     │      read, one after another
    ///                    └─────┴─────┘
    ///               known from `others`: joined when E turns out to be on top of D
    ///
    ///     followed = [B, C, D, E, F, G]     oldest = B, from which a later call continues
    ///
    /// Ancestors in `digests` that are further back than ``capacity`` states are kept in `needed` when
    /// `followed` is shortened. A state is not an ancestor only if the chain was followed to its
    /// end, that is, to the first state or a tombstone.
    ///
    /// - Parameters:
    ///   - others: the chains that were known before.
    ///   - bound: the number of manifests that may be read.
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
        // The tip itself was known before.
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
        // Only the very first state has no parent.
        guard case let first?? = rest.first else { return }
        followed = Array(rest)
        members = Set(followed)
        oldest = .unread(first)
    }
}
