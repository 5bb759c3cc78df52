import Git
import GitProtocol
import Glibc
import ObjectStore
import Posix
import Push
import Repository

/// An error as an HTTP answer.
struct ErrorAnswer: Equatable {
    let status: Int
    /// The text for the client, without any detail of the store and without secrets.
    let text: String
    var headers: [String] = []
    var severity = Severity.refused

    /// Whether the request or the server is at fault.
    enum Severity: Equatable { case refused, failed }
}

/// The one table that gives every error its status.
enum ErrorTable {
    static func answer(to error: any Error) -> ErrorAnswer {
        switch error {
        case let error as RequestError: answer(to: error)
        case let error as ProtocolError: answer(to: error)
        case let error as StoreError: answer(to: error)
        case let error as GitError: answer(to: error)
        case let error as RepositoryError: answer(to: error)
        case is PushError: unproven
        case let error as SystemError: failedDisk(error)
        default: failed(500, "Internal error; see the server's log.")
        }
    }

    /// The seconds after which another attempt may succeed.
    private static let retryAfter = "Retry-After: 10"

    private static func failed(_ status: Int, _ text: String) -> ErrorAnswer {
        ErrorAnswer(
            status: status, text: text, headers: status == 503 ? [retryAfter] : [],
            severity: .failed)
    }

    private static func answer(to error: RequestError) -> ErrorAnswer {
        let text = error.description
        switch error {
        case .notFound: return ErrorAnswer(status: 404, text: text)
        case .dumbProtocol, .unknownService, .notAllowed:
            return ErrorAnswer(status: 403, text: text)
        case .wrongMethod(let allowed):
            return ErrorAnswer(
                status: 405, text: text, headers: ["Allow: \(allowed.joined(separator: ", "))"])
        case .wrongContentType, .unknownEncoding: return ErrorAnswer(status: 415, text: text)
        case .bodyTooLarge: return ErrorAnswer(status: 413, text: text)
        case .badContentLength, .bodyCut, .badGzip, .disconnected:
            return ErrorAnswer(status: 400, text: text)
        case .bodyTooSlow: return ErrorAnswer(status: 408, text: text)
        case .pushLost: return ErrorAnswer(status: 409, text: text)
        }
    }

    private static func answer(to error: ProtocolError) -> ErrorAnswer {
        switch error {
        case .truncated, .badPktLine, .badCommand:
            ErrorAnswer(status: 400, text: error.description)
        case .tooLarge: ErrorAnswer(status: 413, text: error.description)
        case .badReport: failed(500, "git sent a malformed status report on the server.")
        }
    }

    private static func answer(to error: StoreError) -> ErrorAnswer {
        switch error {
        case .unreachable, .unavailable:
            failed(503, "The store cannot be reached. Nothing has changed; try again in a moment.")
        case .undetermined:
            failed(
                503, "The push may have been applied: the store did not answer. Fetch to check.")
        case .altered:
            failed(500, "The store did not store what was sent; see the server's log.")
        case .sourceChanged:
            failed(500, "The server's disk failed; see its log.")
        case .notAdmitted:
            failed(503, "The store cannot be written to at the moment; see the server's log.")
        case .missing, .corrupt, .tooLarge:
            failed(500, "The stored repository is damaged; see the server's log.")
        case .denied, .rejected, .nonConforming, .misconfigured:
            failed(500, "The store refused a request; see the server's log.")
        case .local(_, let error): failedDisk(error)
        }
    }

    private static func answer(to error: GitError) -> ErrorAnswer {
        switch error {
        case .badBody(let inner): answer(to: inner)
        case .clientGone: answer(to: RequestError.disconnected)
        case .busy: ErrorAnswer(status: 503, text: error.description, headers: [retryAfter])
        case .timedOut: failed(504, "git exceeded the time limit.")
        case .failed: failed(500, "git failed on the server; see its log.")
        case .unsafeRef: unproven
        }
    }

    private static func answer(to error: RepositoryError) -> ErrorAnswer {
        switch error {
        case .damaged:
            failed(500, "The stored repository is damaged; see the server's log.")
        case .unpublishable: unproven
        }
    }

    private static var unproven: ErrorAnswer {
        failed(500, "The push could not be verified and was refused. Nothing has changed.")
    }

    /// A full disk may have room a moment later; other failures stay.
    private static func failedDisk(_ error: SystemError) -> ErrorAnswer {
        error.isFullDisk
            ? failed(503, "The server's disk is full. Nothing has changed; try again in a moment.")
            : failed(500, "The server's disk failed; see its log.")
    }
}

/// An error that the client has to correct, or to wait for.
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

    /// The first 64 bytes of a header's value.
    private static func shown(_ value: String) -> String { PrintableText.shortened(value, to: 64) }
}
