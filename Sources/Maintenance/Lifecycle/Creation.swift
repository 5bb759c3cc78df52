package import Repository
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
    package func run(in manifests: Manifests) throws -> Outcome {
        // Lost to another creation: look at what it made.
        for _ in 0..<5 {
            let resolution = try manifests.resolve(repository)
            if case .live(let snapshot) = resolution {
                try check(snapshot.manifest)
                return .existed
            }
            let swap = Swap(of: repository, from: resolution.latest, in: manifests)
            if case .won = try swap.publish(first) { return .created }
        }
        throw Conflict(description: "'\(repository)' keeps changing; try again.")
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
