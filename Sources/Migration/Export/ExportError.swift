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
            "There is no repository '\(name)' in '\(location)'."
        case .occupied(let path):
            "'\(path)' is neither empty nor a bare repository. Name another directory."
        case .unfit(let path, let reason):
            "'\(path)' cannot be updated: \(reason). Name another directory."
        case .busy(let path):
            "Another export writes to '\(path)'. Wait for it to end."
        case .locked(let lock):
            "'\(lock)' is there: git is at work in the repository, or was cut off. Remove the file "
                + "if no git runs there."
        case .changing(let path):
            "The refs of '\(path)' change while it is exported to. Stop who pushes there, and "
                + "export again."
        }
    }
}
