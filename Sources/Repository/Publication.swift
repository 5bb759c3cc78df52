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
}

extension ReceivedPush {
    /// Stores what is new, at once, and then swaps the pointer that the push was received on.
    ///
    /// - Throws: ``StoreError/undetermined(_:reason:)`` when the swap may have landed; otherwise
    ///   it has not.
    package consuming func publish(to store: any ObjectStore) throws -> Publication {
        let bytes: [UInt8]
        do {
            bytes = try manifest.canonicalBytes()
            // What a writer accepts and a reader refuses would be a state that no one can read.
            guard try Manifest(parsing: bytes) == manifest else {
                throw Manifest.Invalid("it does not read back as itself")
            }
        } catch let error as Manifest.Invalid {
            throw RepositoryError.unproven("the manifest cannot be written: \(error)")
        }
        let body = ObjectBody.bytes(bytes)
        var writes = [ObjectWrite.manifest(body)]
        if let pack {
            writes += [.pack(pack.pack), .packIndex(of: pack.pack.digest, pack.index)]
        }
        FaultPoint.reach(.pushReceived)
        try store.write(writes)
        FaultPoint.reach(.pushStored)

        let parent = parent
        let ours = body.digest
        let ancestry = Ancestry(repository: parent.repository, store: store)
        let advance = try store.advancePointer(
            of: parent.repository, expecting: parent.etag, to: ours
        ) { ancestry.lineage(of: ours, in: $0, downTo: parent.digest) }
        switch advance {
        case .won:
            FaultPoint.reach(.pushSwapped)
            return .published(PublishedPush(report: report, digest: ours, manifest: manifest))
        case .lost:
            let rejected =
                report.accepted.map {
                    PushReport.Rejection(
                        rawName: $0, reason: "another push came first; fetch and try again")
                } + report.rejected
            return .lost(LostPush(report: PushReport(unpackError: nil, rejected: rejected)))
        }
    }
}
