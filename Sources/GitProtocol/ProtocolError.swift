/// A request, or an answer of git, that violates the protocol.
package enum ProtocolError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The bytes are truncated.
    case truncated(String)
    case badPktLine(String)
    /// An invalid command section of a push.
    case badCommand(String)
    /// More data than the reader accepts.
    case tooLarge(String)
    /// An answer of git that violates gitprotocol-pack(5).
    case badReport(String)

    package var description: String {
        switch self {
        case .truncated(let place): "The request is truncated within \(place)."
        case .badPktLine(let reason): "Invalid pkt-line: \(reason)."
        case .badCommand(let reason): "Invalid push command: \(reason)."
        case .tooLarge(let reason): "Too large: \(reason)."
        case .badReport(let reason): "git sent a malformed status report: \(reason)."
        }
    }
}
