package import Bytes
package import ObjectStore

/// One swap of a repository's pointer from an observed state, which carries the token, to the next
/// one, which gets it as its parent.
package struct Swap: Sendable {
    package let repository: RepositoryName
    private let manifests: Manifests
    /// The state that is superseded, live or a tombstone; nil if there never was one.
    private let parent: Digest?
    /// The token that the pointer must have; nil if there must be no pointer.
    private let expected: ETag?
    private let packsBefore: Int

    package init(of repository: RepositoryName, from base: Snapshot?, in manifests: Manifests) {
        self.repository = repository
        self.manifests = manifests
        parent = base?.digest
        expected = base?.etag
        packsBefore = base?.manifest.packs.count ?? 0
    }

    package init(on base: Base, in manifests: Manifests) {
        repository = base.repository
        self.manifests = manifests
        parent = base.digest
        expected = base.etag
        packsBefore = base.manifest.packs.count
    }

    /// How a swap ended, as far as it is known; not known is an error.
    package enum Outcome: Sendable {
        case won(PublishedState)
        /// Another writer's state is published instead.
        case lost(PointerValue)

        /// The published state; nil if the swap was lost.
        package var state: PublishedState? {
            if case .won(let state) = self { state } else { nil }
        }
    }

    /// Stores a state and the objects that it needs, in parallel, and then swaps the pointer.
    ///
    /// - Parameters:
    ///   - state: its `parent` is set here.
    ///   - writes: packs and the objects derived from them.
    /// - Throws: ``StoreError/undetermined(_:reason:)`` if the swap may have been applied; after any
    ///   other error it has not.
    package func publish(_ state: Manifest, with writes: [ObjectWrite] = []) throws -> Outcome {
        let next = try prepare(state)
        try manifests.write(writes + [.manifest(next.body)])
        return try publish(next)
    }

    /// Swaps the pointer to a state that is prepared for this swap, and stored.
    package func publish(_ next: Prepared) throws -> Outcome {
        switch try advance(to: next.digest) {
        case .won:
            .won(
                PublishedState(
                    digest: next.digest, manifest: next.manifest, packsBefore: packsBefore))
        case .lost(let current): .lost(current)
        }
    }

    /// A state on top of the base, and its bytes.
    package struct Prepared: Sendable {
        package let manifest: Manifest
        package let body: ObjectBody

        package var digest: Digest { body.digest }
    }

    /// Creates a state on top of the base; stores nothing.
    package func prepare(_ state: Manifest) throws -> Prepared {
        var manifest = state
        manifest.parent = parent
        return Prepared(manifest: manifest, body: .bytes(try manifest.bytesToPublish()))
    }

    /// Swaps the pointer to a state that is stored.
    ///
    /// - Parameter published: further states that were published before this one was first sent;
    ///   the search for ancestors ends at them.
    package func advance(
        to digest: Digest, after published: Set<Digest?> = []
    ) throws -> PointerAdvance {
        let ancestry = Ancestry(repository: repository, manifests: manifests)
        return try manifests.store.advancePointer(of: repository, expecting: expected, to: digest) {
            ancestry.lineage(of: digest, in: $0, downTo: published.union([parent]))
        }
    }

    /// Repeats an attempt for as long as it loses its swap to another writer, without a pause: each
    /// loss is another writer's success.
    ///
    /// - Parameters:
    ///   - attempts: the largest number of swaps that are tried.
    ///   - failure: the error if all of them were lost.
    ///   - attempt: observes the state and swaps; nil if the swap was lost.
    package static func repeated<Result>(
        attempts: Int, orThrow failure: @autoclosure () -> any Error,
        _ attempt: () throws -> Result?
    ) throws -> Result {
        for _ in 0..<attempts {
            if let result = try attempt() { return result }
        }
        throw failure()
    }
}

/// A state that was published.
package struct PublishedState: Sendable {
    package let digest: Digest
    package let manifest: Manifest
    /// The number of packs of the state before; that of this one if nothing was swapped.
    package let packsBefore: Int

    package init(digest: Digest, manifest: Manifest, packsBefore: Int) {
        self.digest = digest
        self.manifest = manifest
        self.packsBefore = packsBefore
    }

    /// A state that turns out to be published already.
    package init(_ snapshot: Snapshot) {
        self.init(
            digest: snapshot.digest, manifest: snapshot.manifest,
            packsBefore: snapshot.manifest.packs.count)
    }
}

/// The chain of manifests behind a published one.
package struct Ancestry {
    let repository: RepositoryName
    let manifests: Manifests

    package init(repository: RepositoryName, manifests: Manifests) {
        self.repository = repository
        self.manifests = manifests
    }

    /// The number of manifests that are read before the answer is "unknown".
    package static let bound = 10_000
    /// The longest time spent on reading them.
    package static let patience = Duration.seconds(60)

    /// Whether `ours` is among the ancestors of `current`.
    ///
    /// - Parameter known: states that were published before `ours` was first sent, including the one
    ///   that `ours` was derived from: the search ends at them. `current` may be one of them, for
    ///   example if only the pointer's token has changed.
    package func lineage(
        of ours: Digest, in current: Digest, downTo known: Set<Digest?>
    ) -> Lineage {
        if known.contains(current) { return .excludesOurs }
        let end = ContinuousClock.now + Self.patience
        var next = current
        for _ in 0..<Self.bound {
            let manifest: Manifest
            do {
                manifest = try self.manifest(next)
            } catch {
                return .unknown(reason: "\(error)")
            }
            if manifest.parent == ours { return .includesOurs }
            guard let before = manifest.parent, !known.contains(before) else {
                return .excludesOurs
            }
            next = before
            if ContinuousClock.now > end {
                return .unknown(reason: "the newer states could not be read in time")
            }
        }
        return .unknown(reason: "more than \(Self.bound) newer states were published")
    }

    /// Reads one manifest of the chain.
    package func manifest(_ digest: Digest) throws -> Manifest {
        try manifests.manifest(digest, of: repository)
    }
}

extension Manifest {
    /// The canonical bytes of a state that readers accept: a state that a writer accepts and a reader
    /// refuses could not be cloned.
    package func bytesToPublish() throws -> [UInt8] {
        do {
            let bytes = try canonicalBytes()
            guard try Manifest(parsing: bytes) == self else {
                throw Invalid("it does not decode to the same manifest")
            }
            return bytes
        } catch {
            throw RepositoryError.unpublishable(reason: "the manifest cannot be encoded: \(error)")
        }
    }
}
