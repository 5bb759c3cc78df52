/// A request, or an answer of git's, that breaks the protocol.
package enum ProtocolError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The bytes end within something.
    case truncated(String)
    case badPktLine(String)
    /// A push's command section that is none.
    case badCommand(String)
    /// More than the reader takes.
    case tooLarge(String)
    /// What git answered is not what gitprotocol-pack(5) says.
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
