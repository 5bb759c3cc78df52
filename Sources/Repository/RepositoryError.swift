package import ObjectStore
package import Posix

/// What keeps a repository from being served, or a push from being received.
package enum RepositoryError: Error, CustomStringConvertible, Sendable {
    /// What is stored is not what it must be.
    case damaged(RepositoryName, reason: String)
    /// git failed in a way that is none of the client's doing.
    case git(step: String, reason: String)
    /// This machine's disk or process table.
    case local(step: String, SystemError)
    /// git took longer than it may.
    case gitTimedOut(step: String)
    /// No git process became free in time.
    case busy
    /// The client disconnected.
    case clientGone
    /// The request's body did not end properly.
    case badBody(any Error)
    /// What was received is not what git and the bridge say it is; nothing was published.
    case unproven(String)

    package var description: String {
        switch self {
        case .damaged(let name, let reason): "Repository '\(name)' is damaged: \(reason)."
        case .git(let step, let reason): "git failed to \(step): \(reason)."
        case .local(let step, let error): "Could not \(step): \(error)."
        case .gitTimedOut(let step): "git exceeded the time limit while trying to \(step)."
        case .busy: "The server is busy. Try again in a moment."
        case .clientGone: "The client disconnected."
        case .badBody(let error): "\(error)"
        case .unproven(let reason): "The push could not be verified: \(reason)."
        }
    }
}

/// Runs local work, saying which step failed.
package func local<Value: ~Copyable>(
    _ step: String, _ body: () throws(SystemError) -> Value
) throws(RepositoryError) -> Value {
    do {
        return try body()
    } catch {
        throw .local(step: step, error)
    }
}
