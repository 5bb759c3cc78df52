package import Bytes
import Cache
package import GitProtocol
import Hydration
import ObjectStore
package import Repository

/// How publishing a received push ended, if that is known; an unknown outcome is an error.
enum Publication: ~Copyable {
    case published(PublishedPush)
    /// Another writer's state is published instead, without any of the push.
    case lost(LostPush)
    /// Another writer's state is published instead, and git has to receive the push on top of it.
    case overtaken(OvertakenPush)
}

/// A push whose swap was won, so that the pointer pointed to its manifest.
///
/// Only ``ReceivedPush/publish(in:attempts:)`` creates one, and only this value holds git's `ok`.
package struct PublishedPush: ~Copyable {
    private let report: PushReport
    package let state: PublishedState
    /// The pack that the push brought; nil if it needed none.
    package let pack: Digest?

    /// The first refusal of a ref of the push, in a sentence; nil if there is none.
    package var refusal: String? { report.refusal }

    fileprivate init(report: PushReport, state: PublishedState, pack: Digest?) {
        self.report = report
        self.state = state
        self.pack = pack
    }

    /// Releases git's report, which may be relayed from now on.
    package consuming func release() -> PushReport { report }
}

extension ReceivedPush {
    /// Stores the new objects, all at once, and then has the queue swap the pointer that was observed
    /// before the push was received.
    ///
    /// If another writer or another push in the queue came first and the changes do not conflict, the
    /// changes of this push are applied to theirs, and the swap is tried again.
    ///
    /// - Parameter attempts: the number of swaps that may be tried.
    /// - Throws: ``StoreError/undetermined(_:reason:)`` if the swap may have been applied; after any
    ///   other error it has not.
    consuming func publish(
        in queue: PublicationQueue, attempts: Int
    ) throws -> Publication {
        var writes: [ObjectWrite] = []
        if let pack, !stored.contains(pack.pack.digest) {
            writes += [.pack(pack.pack), .packIndex(of: pack.pack.digest, pack.index)]
        }
        // A push without competitors saves a step by storing its manifest here.
        var body: ObjectBody?
        if queue.isFree(for: parent) {
            let alone = ObjectBody.bytes(try manifest.bytesToPublish())
            writes.append(.manifest(alone))
            body = alone
        }
        FaultPoint.reach(.pushReceived)
        if !writes.isEmpty { try queue.manifests.write(writes) }
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

    /// Whether a part of the push may be published: not if the client would not learn which.
    private var wholeness: Candidate.Wholeness {
        commands.capabilities.allowsParts ? .refByRef : .allOrNothing
    }

    /// git's own reason is "failed to update ref".
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
