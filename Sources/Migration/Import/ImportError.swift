package import ObjectStore

/// The reason why a repository is not imported. The published state stays as it was.
package enum ImportError: Error, CustomStringConvertible, Sendable {
    /// No repository exists at the path, or git cannot read it.
    case notARepository(String, reason: String)
    /// The repository is shallow.
    case shallow(String)
    /// The repository is a partial clone, which lacks objects.
    case partial(String)
    /// Objects or refs are missing or corrupt.
    case broken(String, reason: String)
    /// A ref that cannot be published.
    case unsafeName(String, ref: String)
    /// HEAD is detached.
    case detachedHead(String)
    /// HEAD points to a ref that is not a branch.
    case headElsewhere(String, ref: String)
    /// git's checks refuse objects, as they would in a push.
    case refused(String, reason: String, message: String?)
    /// It is already published with the other object format.
    case otherFormat(RepositoryName, published: String, source: String)
    /// All swaps were lost to other writers.
    case overtaken(RepositoryName, times: Int)

    package var description: String {
        switch self {
        case .notARepository(let path, let reason):
            "'\(path)' is not a git repository: \(reason)."
        case .shallow(let path):
            "'\(path)' is a shallow clone, which cannot be imported. Fetch the missing history "
                + "with 'git fetch --unshallow'."
        case .partial(let path):
            "'\(path)' is a partial clone, which cannot be imported. Import a full clone."
        case .broken(let path, let reason):
            "'\(path)' is broken: \(reason). Repair it; 'git fsck' shows the details."
        case .unsafeName(let path, let ref):
            "'\(path)' has the ref '\(ref)', whose name cannot be published. Rename it to valid "
                + "UTF-8 of at most 1024 bytes."
        case .detachedHead(let path):
            "The HEAD of '\(path)' is detached. Specify its branch with --default-branch."
        case .headElsewhere(let path, let ref):
            "The HEAD of '\(path)' points to '\(ref)', which is not a branch. Specify its branch "
                + "with --default-branch."
        case .refused(let path, let reason, let message):
            "'\(path)' has an object that git's checks refuse: \(reason)."
                + (message.map { " To accept such objects, add --accept \($0)." } ?? "")
        case .otherFormat(let repository, let published, let source):
            "'\(repository)' is published with object format \(published), but the imported "
                + "repository has \(source). Import it under another name."
        case .overtaken(let repository, let times):
            "'\(repository)' was pushed to during each of \(times) attempts to import it. "
                + "Nothing has changed. Try again when there are fewer pushes."
        }
    }
}
