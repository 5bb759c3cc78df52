package import ObjectStore

/// One swap of a repository's pointer by something else than a push: creation, import, compaction,
/// deletion. What was observed carries the token; the new state gets it as its parent.
package struct Swap: Sendable {
    package let repository: RepositoryName
    /// The state that is superseded, live or a tombstone; nil: there never was one.
    package let base: Snapshot?
    private let store: any ObjectStore

    package init(of repository: RepositoryName, from base: Snapshot?, in store: any ObjectStore) {
        self.repository = repository
        self.base = base
        self.store = store
    }

    /// How it ended, as far as it is known; not known is an error.
    package enum Outcome: Sendable {
        case won(Digest, Manifest)
        /// Another writer's state stands instead.
        case lost(PointerValue)
    }

    /// Stores what a state needs and the state itself, at once, and then swaps the pointer.
    ///
    /// - Parameters:
    ///   - state: its `parent` is set here.
    ///   - writes: packs and what is derived of them.
    /// - Throws: ``StoreError/undetermined(_:reason:)`` when the swap may have landed; otherwise it
    ///   has not.
    package func publish(_ state: Manifest, with writes: [ObjectWrite] = []) throws -> Outcome {
        let next = try prepare(state)
        try store.write(writes + [.manifest(next.body)])
        switch try advance(to: next) {
        case .won: return .won(next.body.digest, next.manifest)
        case .lost(let current): return .lost(current)
        }
    }

    /// A state on top of the base, and its bytes.
    package struct Prepared {
        package let manifest: Manifest
        package let body: ObjectBody
    }

    /// Puts a state on top of the base; stores nothing.
    package func prepare(_ state: Manifest) throws -> Prepared {
        var manifest = state
        manifest.parent = base?.digest
        return Prepared(manifest: manifest, body: .bytes(try manifest.bytesToPublish()))
    }

    /// Swaps the pointer to a state that is stored.
    package func advance(to next: Prepared) throws -> PointerAdvance {
        let digest = next.body.digest
        let ancestry = Ancestry(repository: repository, store: store)
        return try store.advancePointer(of: repository, expecting: base?.etag, to: digest) {
            ancestry.lineage(of: digest, in: $0, downTo: [base?.digest])
        }
    }
}

extension Manifest {
    /// The canonical bytes of a state that readers will take: what a writer accepts and a reader
    /// refuses would be a state that no one can clone.
    func bytesToPublish() throws(RepositoryError) -> [UInt8] {
        do {
            let bytes = try canonicalBytes()
            guard try Manifest(parsing: bytes) == self else {
                throw Invalid("it does not decode to the same manifest")
            }
            return bytes
        } catch {
            throw .unproven("the manifest cannot be encoded: \(error)")
        }
    }
}
