import Repository
import Posix
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
        // An attempt that is lost to another creation looks at its result.
        try Swap.repeated(
            attempts: 5,
            orThrow: Conflict(description: "'\(repository)' keeps changing; try again.")
        ) {
            let resolution = try Snapshot.resolve(repository, in: store)
            if case .live(let snapshot) = resolution {
                try check(snapshot.manifest)
                return .existed
            }
            let swap = Swap(of: repository, from: resolution.latest, in: store)
            return try swap.publish(first).state == nil ? nil : .created
        }
    }

    private var first: Manifest {
        Manifest(head: defaultBranch ?? .main, objectFormat: objectFormat ?? .sha1)
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
}
