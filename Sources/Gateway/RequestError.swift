import GitProtocol

/// A request that is answered with an error which is the client's to mend, or to wait for.
package enum RequestError: Error, Equatable, Sendable, CustomStringConvertible {
    case notFound
    case dumbProtocol
    case unknownService
    case wrongMethod(allowed: [String])
    case wrongContentType(expected: String)
    case badContentLength(String)
    case unknownEncoding(String)
    /// Bytes.
    case bodyTooLarge(limit: Int64)
    case bodyCut
    case bodyTooSlow
    case badGzip(String)
    case notAllowed(String)
    /// Every attempt to publish was lost.
    case pushLost
    /// The connection to the web server broke.
    case disconnected

    package var description: String {
        switch self {
        case .notFound: "Repository not found."
        case .dumbProtocol:
            "This server supports only git's smart HTTP protocol. Use git 1.6.6 or later."
        case .unknownService: "Unsupported service."
        case .wrongMethod(let allowed): "Use \(allowed.joined(separator: " or ")) here."
        case .wrongContentType(let expected): "The Content-Type must be \(expected)."
        case .badContentLength(let value): "Invalid Content-Length '\(Self.shown(value))'."
        case .unknownEncoding(let value): "Unsupported Content-Encoding '\(Self.shown(value))'."
        case .bodyTooLarge(let limit): "The request body is larger than \(limit) bytes."
        case .bodyCut: "The request body is truncated."
        case .bodyTooSlow: "The request body arrived too slowly."
        case .badGzip(let reason): "The request body contains invalid gzip data: \(reason)."
        case .notAllowed(let reason): reason
        case .pushLost: "Another push came first. Nothing has changed; fetch and try again."
        case .disconnected: "The web server closed the connection."
        }
    }

    /// A header's value, at most 64 bytes of it.
    private static func shown(_ value: String) -> String { PrintableText.shortened(value, to: 64) }
}
