package import Bytes
package import GitProtocol
import ObjectStore

/// How publishing a received push ended, as far as it is known; not known is an error.
package enum Publication: ~Copyable {
    case published(PublishedPush)
    /// Another writer's state stands instead. Nothing of the push shows.
    case lost(LostPush)
    /// Another writer's state stands instead, and git has to say what the push makes of that.
    case overtaken(OvertakenPush)
}

/// A push whose swap is won: the pointer named its manifest.
///
/// Made only by ``ReceivedPush/publish(in:attempts:)``, and the only holder of git's `ok`.
package struct PublishedPush: ~Copyable {
    private let report: PushReport
    package let state: PublishedState
    /// The pack that the push brought; nil if it needed none.
    package let pack: Digest?

    /// What was refused of the push first, in a sentence; nil: nothing.
    package var refusal: String? { report.refusal }

    fileprivate init(report: PushReport, state: PublishedState, pack: Digest?) {
        self.report = report
        self.state = state
        self.pack = pack
    }

    /// Gives out git's report, which may be relayed from now on.
    package consuming func release() -> PushReport { report }
}

extension ReceivedPush {
    /// Stores what is new, at once, and then has the pointer swapped that the push was received on.
    ///
    /// Where another writer came first and their changes and ours do not touch, ours are applied
    /// to theirs and the swap is tried again; so it is with other pushes in the queue.
    ///
    /// - Parameter attempts: swaps that are tried at most.
    /// - Throws: ``StoreError/undetermined(_:reason:)`` when the swap may have landed; otherwise
    ///   it has not.
    package consuming func publish(
        in queue: PublicationQueue, attempts: Int
    ) throws -> Publication {
        var writes: [ObjectWrite] = []
        if let pack, !stored.contains(pack.pack.digest) {
            writes += [.pack(pack.pack), .packIndex(of: pack.pack.digest, pack.index)]
        }
        // One step less for a push that has the repository to itself; of no use to another.
        var body: ObjectBody?
        if queue.isFree(for: parent) {
            let alone = ObjectBody.bytes(try manifest.bytesToPublish())
            writes.append(.manifest(alone))
            body = alone
        }
        FaultPoint.reach(.pushReceived)
        if !writes.isEmpty { try queue.store.write(writes) }
        FaultPoint.reach(.pushStored)

        let settlement = queue.settle(
            Candidate(
                parent: parent, manifest: manifest, stored: body, wholeness: wholeness,
                attempts: max(attempts, 1), accepted: report.accepted.compactMap { RefName($0) }))
        switch settlement {
        case .published(let state, let moved):
            if let pack { workspace.hydrated.keep(pack: pack.pack, index: pack.index) }
            let report = report.rejecting(rejections(of: moved))
            return .published(
                PublishedPush(report: report, state: state, pack: pack?.pack.digest))
        case .lost(let cause, let moved):
            return .lost(lost(cause, moved))
        case .overtaken(let winner, let moved, let attemptsLeft):
            return .overtaken(overtaken(by: winner, moved, attemptsLeft: attemptsLeft))
        case .failed(let error):
            throw error
        }
    }

    /// Whether a part of the push may be published: not where nobody could be told which.
    private var wholeness: Candidate.Wholeness {
        commands.capabilities.allowsParts ? .refByRef : .allOrNothing
    }

    /// Git's own words are "failed to update ref".
    private func rejections(of moved: Set<RefName>) -> [PushReport.Rejection] {
        report.accepted.filter { name in RefName(name).map(moved.contains) ?? false }.map {
            PushReport.Rejection(
                rawName: $0,
                reason: "failed to update ref: another push came first; fetch and try again")
        }
    }

    private func lost(_ cause: LostPush.Cause, _ moved: Set<RefName>) -> LostPush {
        let reason =
            switch cause {
            case .attemptsUsedUp: "another push came first; fetch and try again"
            case .overtaken: "atomic push failure"
            case .replaced: "the repository was deleted in the meantime"
            }
        let others = report.accepted.map { PushReport.Rejection(rawName: $0, reason: reason) }
        return LostPush(
            report: report.rejecting(rejections(of: moved) + others), cause: cause)
    }

    private consuming func overtaken(
        by winner: Snapshot, _ moved: Set<RefName>, attemptsLeft: Int
    ) -> OvertakenPush {
        let report = report.rejecting(rejections(of: moved))
        let left = Set(report.accepted)
        let refs = winner.manifest.refs
        let remaining = commands.remaining {
            left.contains($0)
        } fulfilled: {
            $0.new == refs[$0.name] ?? .zero($0.new.format)
        }
        return OvertakenPush(
            workspace: workspace, winner: winner, attemptsLeft: attemptsLeft, commands: remaining,
            rejected: report.rejected, pack: pack)
    }
}
