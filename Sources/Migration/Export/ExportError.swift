package import ObjectStore

/// Why a repository was not exported, or a directory not updated.
package enum ExportError: Error, CustomStringConvertible, Sendable {
    /// The repository does not exist in the store.
    case noSuchRepository(RepositoryName, location: String)
    /// Something else exists at the path of the export.
    case occupied(String)
    /// A repository that cannot become equal to the published one.
    case unfit(String, reason: String)
    /// Another export is writing there.
    case busy(String)
    /// A lock file of git that no process seems to hold.
    case locked(String)
    /// Another process is writing refs there.
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
