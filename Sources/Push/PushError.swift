/// The reason why a push cannot be published.
package enum PushError: Error, CustomStringConvertible, Sendable {
    /// The workspace did not change as git and the bridge report; nothing was published.
    case unproven(String)

    package var description: String {
        switch self {
        case .unproven(let reason): "The push could not be verified: \(reason)."
        }
    }
}
