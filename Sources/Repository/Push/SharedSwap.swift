import Bytes
import ObjectStore

/// Publishes the pushes that wait at one repository, as many as go together with each swap.
///
/// Used by one thread at a time.
struct SharedSwap: Sendable {
    let repository: RepositoryName
    let manifests: Manifests
    /// What is known of the published state; nil: nothing.
    private(set) var chain: KnownChain?
    /// Swaps that were lost since the last one that was won.
    private var losses = 0

    init(of repository: RepositoryName, in manifests: Manifests) {
        self.repository = repository
        self.manifests = manifests
    }

    /// What a round made of a candidate.
    enum Outcome: Sendable {
        case waiting(PublicationCandidate)
        case settled(PublicationCandidate.Settlement)
    }

    /// Candidates that share a swap, by their positions, and the state that it publishes.
    private struct Group {
        private(set) var members: [(position: Int, candidate: PublicationCandidate)]
        private(set) var manifest: Manifest
        /// The bytes of the manifest, where they are stored already.
        private(set) var stored: ObjectBody?

        init?(_ first: PublicationCandidate, _ position: Int, on base: Base) {
            guard let manifest = first.applied(to: nil, on: base) else { return nil }
            members = [(position, first)]
            self.manifest = manifest
            if base.digest == first.parent.digest { stored = first.stored }
        }

        /// Takes one more, if it goes together with the others.
        mutating func take(
            _ candidate: PublicationCandidate, _ position: Int, on base: Base
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
    /// A candidate is refused only because of what is published, never because of what another one
    /// is only about to: then it waits.
    mutating func round(_ candidates: [PublicationCandidate]) -> [Outcome] {
        var outcomes = candidates.map(Outcome.waiting)
        guard let first = candidates.first else { return outcomes }

        let former = chain
        let known = knownChain(for: first.parent)
        chain = known
        var group: Group?
        for (position, candidate) in candidates.enumerated()
        where known.includes(candidate.parent.digest) {
            switch candidate.judged(on: known.tip) {
            case .settled(let settlement): outcomes[position] = .settled(settlement)
            case .fits(let rest):
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

    /// Waits a little before the next round, where the last swaps were lost: processes that lost
    /// against each other must not come back together.
    func pause() {
        if losses == 0 { return }
        let policy = manifests.store.retryPolicy
        RetryPolicy(
            base: policy.base, ceiling: min(policy.ceiling, Self.longestPause)
        ).pause(before: losses)
    }

    /// The longest wait after a loss. Not the store's own, which is for one that is overloaded.
    private static let longestPause = Duration.seconds(1)

    /// What is known, if that reaches back to `parent`, or is what `parent` was published on.
    /// Otherwise others published meanwhile, and nothing is known but `parent`.
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
    /// - Parameter former: what was known before `known`; not the same where its tip, now published
    ///   or superseded, is not known to be on top of the parent, or to be below it.
    private mutating func swap(
        for group: Group, _ known: KnownChain, _ former: KnownChain?, _ outcomes: inout [Outcome]
    ) {
        var group = group
        chain = nil
        do {
            let base = known.tip
            let digest = try store(&group, on: base)
            let ancestry = Ancestry(repository: repository, manifests: manifests)
            // What is not sent yet cannot be an ancestor of a state that is published already.
            var before: Set<Digest?> = [base.digest]
            if let former { before.insert(former.tip.digest) }
            let advance = try manifests.store.advancePointer(
                of: repository, expecting: base.etag, to: digest
            ) { ancestry.lineage(of: digest, in: $0, downTo: before) }
            switch advance {
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
                        candidate.afterLoss().map(Outcome.waiting)
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
            // Together they may be too large, or whatever: that must not harm the first of them.
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

    /// What is known after a swap that was won.
    private func extended(
        _ known: KnownChain, to snapshot: Snapshot, for outcomes: [Outcome]
    ) -> KnownChain {
        var chain = known
        chain.advance(to: snapshot)
        // Who still waits was received on an older state. What cannot be read now only means that
        // more is tried in vain.
        try? chain.follow(
            downTo: outcomes.parentsOfWaiting,
            by: Ancestry(repository: repository, manifests: manifests), atMost: KnownChain.capacity)
        return chain
    }

    /// Reads the state that a swap was lost to, and its ancestors down to everyone's parent.
    private mutating func learn(
        _ current: PointerValue, _ known: [KnownChain], _ outcomes: inout [Outcome]
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
        // Published on top of more states than are looked at, it has lost all the same.
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

extension [SharedSwap.Outcome] {
    /// The digests of the states that those who wait were received on.
    fileprivate var parentsOfWaiting: [Digest?] {
        compactMap { outcome -> Digest?? in
            if case .waiting(let candidate) = outcome { candidate.parent.digest } else { nil }
        }
    }
}
