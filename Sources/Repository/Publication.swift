package import GitProtocol
package import ObjectStore

/// How publishing a received push ended, as far as it is known; not known is an error.
package enum Publication: ~Copyable {
    case published(PublishedPush)
    /// Another writer's state stands instead. Nothing of the push shows.
    case lost(LostPush)
}

/// A push whose swap is won: the pointer named its manifest.
///
/// Made only by ``ReceivedPush/publish(to:)``, and the only holder of git's `ok`.
package struct PublishedPush: ~Copyable {
    private let report: PushReport
    /// The published state.
    package let digest: Digest
    package let manifest: Manifest

    fileprivate init(report: PushReport, digest: Digest, manifest: Manifest) {
        self.report = report
        self.digest = digest
        self.manifest = manifest
    }

    /// Gives out git's report, which may be relayed from now on.
    package consuming func release() -> PushReport { report }
}

/// A push that another writer's came before.
package struct LostPush: Sendable {
    /// Its refs, each told `ng` where a report is due.
    package let report: PushReport
    package let cause: Cause

    /// Why it was not tried again.
    package enum Cause: Sendable {
        /// As many swaps were lost as may be tried.
        case attemptsUsedUp
        /// It cannot be applied on top of the winner: a ref of it moved, say.
        case overtaken
    }
}

extension ReceivedPush {
    /// Stores what is new, at once, and then swaps the pointer that the push was received on.
    ///
    /// Where another writer came first and their changes and ours do not touch, ours are applied
    /// to theirs and the swap is tried again.
    ///
    /// - Parameter attempts: swaps that are tried at most.
    /// - Throws: ``StoreError/undetermined(_:reason:)`` when the swap may have landed; otherwise
    ///   it has not.
    package consuming func publish(
        to store: any ObjectStore, attempts: Int = 1
    ) throws -> Publication {
        var bytes = try manifest.bytesToPublish()
        var writes = [ObjectWrite.manifest(.bytes(bytes))]
        if let pack {
            writes += [.pack(pack.pack), .packIndex(of: pack.pack.digest, pack.index)]
        }
        FaultPoint.reach(.pushReceived)
        try store.write(writes)
        FaultPoint.reach(.pushStored)

        let ancestry = Ancestry(repository: parent.repository, store: store)
        let delta = PushDelta(
            from: parent.manifest, to: manifest,
            accepted: report.accepted.compactMap { RefName($0) })
        var base = parent
        var manifest = manifest
        for attempt in 1...max(attempts, 1) {
            if attempt > 1 { try store.write([.manifest(.bytes(bytes))]) }
            let ours = Digest(of: bytes)
            let expected = base
            let advance = try store.advancePointer(
                of: expected.repository, expecting: expected.etag, to: ours
            ) { ancestry.lineage(of: ours, in: $0, downTo: expected.digest) }
            switch advance {
            case .won:
                FaultPoint.reach(.pushSwapped)
                if let pack { workspace.keep(pack) }
                return .published(PublishedPush(report: report, digest: ours, manifest: manifest))
            case .lost(let current):
                guard attempt < attempts else { return .lost(lost(.attemptsUsedUp)) }
                guard let winner = try ancestry.winner(current, over: expected.digest),
                    let rebased = delta.applied(to: winner.manifest, digest: winner.digest)
                else { return .lost(lost(.overtaken)) }
                base = winner
                manifest = rebased
                bytes = try rebased.bytesToPublish()
            }
        }
        return .lost(lost(.attemptsUsedUp))
    }

    private func lost(_ cause: LostPush.Cause) -> LostPush {
        let rejected =
            report.accepted.map {
                PushReport.Rejection(
                    rawName: $0, reason: "another push came first; fetch and try again")
            } + report.rejected
        return LostPush(report: PushReport(unpackError: nil, rejected: rejected), cause: cause)
    }
}
