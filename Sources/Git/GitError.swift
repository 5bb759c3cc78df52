/// The reason why a run of git has no result.
package enum GitError: Error, CustomStringConvertible, Sendable {
    /// git failed for a reason other than the client.
    case failed(step: String, reason: String)
    /// git exceeded its time limit.
    case timedOut(step: String)
    /// No git process became free in time.
    case busy
    /// The client disconnected.
    case clientGone
    /// The request's body did not end properly.
    case badBody(any Error)
    /// git read a ref whose name cannot be published.
    case unsafeRef(String)

    package var description: String {
        switch self {
        case .failed(let step, let reason): "git failed to \(step): \(reason)."
        case .timedOut(let step): "git exceeded the time limit while trying to \(step)."
        case .busy: "The server is busy. Try again in a moment."
        case .clientGone: "The client disconnected."
        case .badBody(let error): "\(error)"
        case .unsafeRef(let name):
            "The push could not be verified: '\(name)' is not a safe ref name."
        }
    }
}
