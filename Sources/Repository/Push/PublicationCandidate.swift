import GitProtocol
import ObjectStore

/// A push that waits for its swap: what it does, and how much of it may be left out.
struct PublicationCandidate: Sendable {
    /// The state that it was received on.
    let parent: Base
    /// That state with the push, as it was received.
    let manifest: Manifest
    /// The bytes of that, where they are stored already.
    let stored: ObjectBody?
    let wholeness: Wholeness
    /// Swaps that may be tried for it.
    let attempts: Int

    /// What is left of the push.
    private(set) var delta: PushDelta
    /// Its refs that other pushes moved.
    private(set) var moved: Set<RefName> = []
    private var attemptsLeft: Int

    /// Whether a part of a push may be published.
    enum Wholeness: Sendable {
        /// The client asked for it, or for no report that could tell the parts.
        case allOrNothing
        case refByRef
    }

    init(
        parent: Base, manifest: Manifest, stored: ObjectBody?, wholeness: Wholeness,
        attempts: Int, accepted: [RefName]
    ) {
        self.parent = parent
        self.manifest = manifest
        self.stored = stored
        self.wholeness = wholeness
        self.attempts = attempts
        attemptsLeft = attempts
        delta = PushDelta(from: parent.manifest, to: manifest, accepted: accepted)
    }

    /// What became of a candidate.
    enum Settlement: Sendable {
        /// The state has its effect, but for the refs that moved.
        case published(PublishedState, moved: Set<RefName>)
        case lost(LostPush.Cause, moved: Set<RefName>)
        /// git has to say what becomes of it on top of another state.
        case overtaken(by: Snapshot, moved: Set<RefName>, attemptsLeft: Int)
        /// Nothing of it was published, or that is not known: the error says so.
        case failed(any Error)
    }

    /// The outcome of a look at a published state, or of a round of swaps.
    enum Outcome: Sendable {
        /// It can be applied, with what is left of it.
        case waiting(PublicationCandidate)
        case settled(Settlement)
    }

    /// Looks at the state that the next swap will be predicated on: the parent, or one that was
    /// published on top of it.
    ///
    /// Refs that moved are found first: whatever becomes of the others, they are refused.
    func judged(on base: Base) -> Outcome {
        guard base.digest != parent.digest, case .published(let winner) = base else {
            return .waiting(self)
        }
        if attempts == 1 { return .settled(.lost(.attemptsUsedUp, moved: [])) }
        guard winner.manifest.objectFormat == parent.manifest.objectFormat else {
            return .settled(.lost(.replaced, moved: []))
        }
        var candidate = self
        let moved = delta.moved(in: winner.manifest)
        candidate.moved.formUnion(moved)
        candidate.delta = delta.without(moved)
        if candidate.delta.isEmpty || (!moved.isEmpty && wholeness == .allOrNothing) {
            return .settled(.lost(.overtaken, moved: candidate.moved))
        }
        if candidate.delta.isFulfilled(in: winner.manifest) {
            return .settled(.published(PublishedState(winner), moved: candidate.moved))
        }
        if candidate.delta.applied(to: winner.manifest, digest: winner.digest) != nil {
            return .waiting(candidate)
        }
        // Being received again is an attempt, too, where no swap was.
        let left = attemptsLeft == attempts ? attempts - 1 : attemptsLeft
        return .settled(.overtaken(by: winner, moved: candidate.moved, attemptsLeft: left))
    }

    /// The state that the next swap shall publish, with this push in it.
    ///
    /// - Parameters:
    ///   - base: what the swap is predicated on.
    ///   - others: base with the pushes that go before this one; nil: there are none.
    /// - Returns: nil where it does not go together with the others.
    func applied(to others: Manifest?, on base: Base) -> Manifest? {
        guard let others else {
            if base.digest == parent.digest { return manifest }
            return delta.applied(to: base.manifest, digest: base.digest)
        }
        return delta.applied(to: others, digest: base.digest)
    }

    /// The candidate after a swap that was lost; nil: it was the last one that may be tried.
    func afterLoss() -> PublicationCandidate? {
        var candidate = self
        candidate.attemptsLeft -= 1
        return candidate.attemptsLeft > 0 ? candidate : nil
    }
}
