package import Bytes
package import ObjectStore

/// Why a repository cannot be deleted, restored or renamed; nothing was changed.
package enum LifecycleError: Error, Equatable, CustomStringConvertible, Sendable {
    /// The repository never existed in the store at `location`.
    case absent(RepositoryName, location: String)
    /// Its pointer specifies a tombstone; `last` is the state before it.
    case deleted(RepositoryName, last: Digest?)
    /// The repository to rename is a tombstone: it was deleted, or its rename was interrupted.
    case nothingToRename(RepositoryName, to: RepositoryName)
    /// It exists, and must not exist for this operation.
    case present(RepositoryName, remedy: String)
    /// Both names are the same.
    case sameName(RepositoryName)
    /// The repository never had this state, or the state is a tombstone.
    case noSuchState(RepositoryName, Digest)
    /// Its pointer specifies a tombstone, as did all its earlier values.
    case neverLive(RepositoryName)
    /// It was renamed.
    case renamed(RepositoryName, to: RepositoryName)
    /// A tombstone of it specifies an invalid name.
    case strangeName(RepositoryName, to: String)
    /// The states under a name could not be followed as far as necessary.
    case untold(RepositoryName, reason: String)
    /// Another state was published before each attempt.
    case busy(RepositoryName)

    package var description: String {
        switch self {
        case .absent(let name, let location):
            "Repository '\(name)' does not exist in "
                + "'\(location)'."
        case .deleted(let name, let last):
            "'\(name)' is deleted. "
                + (last.map { "Its last state was \($0); " } ?? "")
                + "'git-s3-backend restore \(name)' brings it back."
        case .nothingToRename(let name, let target):
            "'\(name)' was deleted or renamed. If a rename was interrupted, 'git-s3-backend rename "
                + "--resume \(name) \(target)' finishes it; 'git-s3-backend restore \(name)' "
                + "brings it back, or reports its new name."
        case .present(let name, let remedy): "'\(name)' already exists\(remedy)"
        case .sameName(let name): "'\(name)' already has that name."
        case .noSuchState(let name, let digest):
            "'\(digest)' was never a state of '\(name)'. Find earlier states with "
                + "'git-s3-backend show', which prints the parent of a state."
        case .neverLive(let name): "'\(name)' has no earlier state to restore."
        case .renamed(let name, let target):
            "'\(name)' was renamed to '\(target)'. Rename '\(target)' instead; if it is deleted, "
                + "run 'git-s3-backend restore \(target)' first."
        case .strangeName(let name, let target):
            "'\(name)' was renamed to '\(target)', which is not a valid name in this release. "
                + "Use the release that renamed it."
        case .untold(let name, let reason):
            "Could not read the earlier states of '\(name)': \(reason)."
        case .busy(let name): "'\(name)' keeps changing. Try again."
        }
    }

    /// The number of swaps after which a repository counts as busy. Each lost one is a push that
    /// won.
    static let attempts = 20
}
