package import GitProtocol
package import ObjectStore
import Posix
package import Repository

/// The creation of an empty repository.
package struct Creation: Sendable {
    package let repository: RepositoryName
    /// The branch that HEAD points to; nil for any, which is `refs/heads/main` in a new repository.
    package let defaultBranch: RefName?
    /// The object format; nil for any, which is SHA-1 in a new repository.
    package let objectFormat: ObjectFormat?

    package init(
        repository: RepositoryName, defaultBranch: RefName?, objectFormat: ObjectFormat?
    ) {
        self.repository = repository
        self.defaultBranch = defaultBranch
        self.objectFormat = objectFormat
    }

    /// The outcome.
    package enum Outcome: Equatable, Sendable {
        case created
        /// It already exists, as requested.
        case existed
    }

    /// How an existing repository differs from the requested one.
    package struct Conflict: Error, CustomStringConvertible {
        package let description: String
    }

    /// Publishes the first manifest; repeating it is harmless.
    ///
    /// - Throws: ``Conflict`` if the repository exists with another HEAD or object format;
    ///   ``StoreError`` or ``RepositoryError``.
    package func run(in manifests: Manifests) throws -> Outcome {
        // If another creation was first, the next attempt compares what it published.
        try Swap.repeated(
            attempts: 5,
            orThrow: Conflict(description: "'\(repository)' keeps changing. Try again.")
        ) {
            let resolution = try manifests.resolve(repository)
            if case .live(let snapshot) = resolution {
                try check(snapshot.manifest)
                return .existed
            }
            let swap = Swap(of: repository, from: resolution.latest, in: manifests)
            return try swap.publish(first).state == nil ? nil : .created
        }
    }

    private var first: Manifest {
        Manifest(head: defaultBranch ?? .main, objectFormat: objectFormat ?? .sha1)
    }

    private func check(_ manifest: Manifest) throws {
        if let defaultBranch, defaultBranch != manifest.head {
            throw Conflict(
                description: "'\(repository)' already exists, with HEAD on '\(manifest.head)'.")
        }
        if let objectFormat, objectFormat != manifest.objectFormat {
            throw Conflict(
                description: "'\(repository)' already exists, with object format "
                    + "'\(manifest.objectFormat.rawValue)'.")
        }
    }
}
