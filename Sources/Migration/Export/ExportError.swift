package import ObjectStore

/// Why a repository is not exported, or a directory not updated.
package enum ExportError: Error, CustomStringConvertible, Sendable {
    /// The store has no such repository.
    case noSuchRepository(RepositoryName, location: String)
    /// There is something else where the export shall be.
    case occupied(String)
    /// A repository, but not one that can be made equal to what is published.
    case unfit(String, reason: String)
    /// Another export writes there.
    case busy(String)
    /// A lock of git's that nobody seems to hold.
    case locked(String)
    /// Somebody else writes refs there.
    case changing(String)

    package var description: String {
        switch self {
        case .noSuchRepository(let name, let location):
            "Repository '\(name)' does not exist in '\(location)'."
        case .occupied(let path):
            "'\(path)' is neither empty nor a bare repository. Specify another directory."
        case .unfit(let path, let reason):
            "'\(path)' cannot be updated: \(reason). Specify another directory."
        case .busy(let path):
            "Another export is writing to '\(path)'. Wait until it has finished."
        case .locked(let lock):
            "'\(lock)' exists: git is running in the repository, or was interrupted. If no git "
                + "runs there, remove the file."
        case .changing(let path):
            "The refs of '\(path)' changed during the export. Make sure that nothing else writes "
                + "there, and export again."
        }
    }
}
