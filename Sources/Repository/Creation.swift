package import GitProtocol
package import ObjectStore

/// Makes an empty repository.
package struct Creation: Sendable {
    package let repository: RepositoryName
    /// The branch that HEAD names; nil: no wish, `refs/heads/main` for a new one.
    package let defaultBranch: RefName?
    /// nil: no wish, SHA-1 for a new one.
    package let objectFormat: ObjectFormat?

    package init(
        repository: RepositoryName, defaultBranch: RefName?, objectFormat: ObjectFormat?
    ) {
        self.repository = repository
        self.defaultBranch = defaultBranch
        self.objectFormat = objectFormat
    }

    /// What became of it.
    package enum Outcome: Equatable, Sendable {
        case created
        /// It is there already, and as wished.
        case existed
    }

    /// Why a repository that is there is not the one wished for.
    package struct Conflict: Error, CustomStringConvertible {
        package let description: String
    }

    /// Publishes the first manifest; repeating it is harmless.
    ///
    /// - Throws: ``Conflict`` if the repository is there with another HEAD or object format;
    ///   ``StoreError`` or ``RepositoryError``.
    package func run(in store: any ObjectStore) throws -> Outcome {
        // Lost to another creation: look at what it made.
        for _ in 0..<5 {
            var expected: ETag?
            var parent: Digest?
            switch try Snapshot.resolve(repository, in: store) {
            case .live(let snapshot):
                try check(snapshot.manifest)
                return .existed
            case .deleted(let tombstone):
                expected = tombstone.etag
                parent = tombstone.digest
            case .absent: break
            }
            if try publish(on: parent, expecting: expected, to: store) { return .created }
        }
        throw Conflict(description: "'\(repository)' keeps changing; try again.")
    }

    private func check(_ manifest: Manifest) throws(Conflict) {
        if let defaultBranch, defaultBranch != manifest.head {
            throw Conflict(
                description: "'\(repository)' is there already, with HEAD on '\(manifest.head)'.")
        }
        if let objectFormat, objectFormat != manifest.objectFormat {
            throw Conflict(
                description: "'\(repository)' is there already, with object format "
                    + "'\(manifest.objectFormat.rawValue)'.")
        }
    }

    private func publish(
        on parent: Digest?, expecting expected: ETag?, to store: any ObjectStore
    ) throws -> Bool {
        guard let head = defaultBranch ?? RefName("refs/heads/main") else { return false }
        let manifest = Manifest(head: head, parent: parent, objectFormat: objectFormat ?? .sha1)
        let body = ObjectBody.bytes(try manifest.canonicalBytes())
        try store.write([.manifest(body)])

        let ancestry = Ancestry(repository: repository, store: store)
        let advance = try store.advancePointer(
            of: repository, expecting: expected, to: body.digest
        ) { ancestry.lineage(of: body.digest, in: $0, downTo: parent) }
        if case .won = advance { return true }
        return false
    }
}
