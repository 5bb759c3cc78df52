import GitProtocol
import ObjectStore
import Repository

/// A push that waits for its swap, with its changes and whether some of them may be left out.
struct Candidate: Sendable {
    /// The state on which it was received.
    let parent: Base
    /// That state with the push, as it was received.
    let manifest: Manifest
    /// The bytes of that state, if they are stored already.
    let stored: ObjectBody?
    let wholeness: Wholeness
    /// The number of swaps that may be tried for it.
    let attempts: Int

    /// The remaining changes of the push.
    private(set) var changes: RefChanges
    /// Its refs that other pushes have moved.
    private(set) var moved: Set<RefName> = []
    private var attemptsLeft: Int

    /// Whether a part of a push may be published.
    enum Wholeness: Sendable {
        /// The client requested an atomic push, or no report that could list the parts.
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
        changes = RefChanges(from: parent.manifest, to: manifest, accepted: accepted)
    }

    /// How a candidate ended.
    enum Settlement: Sendable {
        /// The state contains its changes, except those of the refs that moved.
        case published(PublishedState, moved: Set<RefName>)
        case lost(LostPush.Cause, moved: Set<RefName>)
        /// git has to receive it again, on top of another state.
        case overtaken(by: Snapshot, moved: Set<RefName>, attemptsLeft: Int)
        /// Nothing of it was published, or the error reports that this is unknown.
        case failed(any Error)
    }

    /// The outcome of a look at a published state, or of a round of swaps.
    enum Outcome: Sendable {
        /// It can be applied, with what is left of it.
        case waiting(Candidate)
        case settled(Settlement)
    }

    /// Looks at the state that the next swap will be predicated on: the parent, or one that was
    /// published on top of it.
    ///
    /// Refs that moved are found first: they are refused, however the others end.
    func judged(on base: Base) -> Outcome {
        guard base.digest != parent.digest, case .published(let winner) = base else {
            return .waiting(self)
        }
        if attempts == 1 { return .settled(.lost(.attemptsUsedUp, moved: [])) }
        guard winner.manifest.objectFormat == parent.manifest.objectFormat else {
            return .settled(.lost(.replaced, moved: []))
        }
        var candidate = self
        let moved = changes.moved(in: winner.manifest)
        candidate.moved.formUnion(moved)
        candidate.changes = changes.without(moved)
        if candidate.changes.isEmpty || (!moved.isEmpty && wholeness == .allOrNothing) {
            return .settled(.lost(.overtaken, moved: candidate.moved))
        }
        if candidate.changes.isFulfilled(in: winner.manifest) {
            return .settled(.published(PublishedState(winner), moved: candidate.moved))
        }
        if candidate.changes.applied(to: winner.manifest, digest: winner.digest) != nil {
            return .waiting(candidate)
        }
        // Receiving it again counts as an attempt even if no swap was tried.
        let left = attemptsLeft == attempts ? attempts - 1 : attemptsLeft
        return .settled(.overtaken(by: winner, moved: candidate.moved, attemptsLeft: left))
    }

    /// The state that the next swap publishes, with this push in it.
    ///
    /// - Parameters:
    ///   - base: the state that the swap is predicated on.
    ///   - others: the base with the pushes that precede this one; nil if there are none.
    /// - Returns: nil if it cannot share a swap with the others.
    func applied(to others: Manifest?, on base: Base) -> Manifest? {
        guard let others else {
            if base.digest == parent.digest { return manifest }
            return changes.applied(to: base.manifest, digest: base.digest)
        }
        return changes.applied(to: others, digest: base.digest)
    }

    /// The candidate after a lost swap; nil if that was its last one.
    func afterLoss() -> Candidate? {
        var candidate = self
        candidate.attemptsLeft -= 1
        return candidate.attemptsLeft > 0 ? candidate : nil
    }
}
