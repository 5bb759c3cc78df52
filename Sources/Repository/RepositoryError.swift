package import ObjectStore

/// Why a repository cannot be served, or a state cannot be published.
package enum RepositoryError: Error, CustomStringConvertible, Sendable {
    /// A stored object is missing or corrupt.
    case damaged(RepositoryName, reason: String)
    /// Readers would refuse the state; it was not published.
    case unpublishable(reason: String)

    package var description: String {
        switch self {
        case .damaged(let name, let reason): "Repository '\(name)' is damaged: \(reason)."
        case .unpublishable(let reason): "The push could not be verified: \(reason)."
        }
    }
}
