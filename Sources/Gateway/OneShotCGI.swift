import Bytes
import Glibc
package import Posix
package import Repository

/// Answers the one request of a CGI process. RFC 3875.
package enum OneShotCGI {
    /// Ends git's processes and this one, and leaves nothing behind, when the web server sends
    /// SIGTERM, as it does when the client is gone.
    package static func endOnSignal(removing state: StateDirectory) throws(SystemError) {
        let thread = try Thread(stackBytes: 1 << 17) {
            var signals = sigset_t()
            sigemptyset(&signals)
            for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&signals, signal) }
            var received: Int32 = 0
            sigwait(&signals, &received)
            ChildProcess.endAll()
            state.endProcess(status: 128 + received)
        }
        _ = consume thread
    }

    /// Answers the request that the process's environment describes.
    package static func run(_ responder: Responder, environment: [String: String]) {
        let request = Request(variables: environment, identifier: Hex.random(bytes: 8))
        var length: Int64?
        if case .known(let bytes) = request.contentLength { length = bytes }
        responder.respond(to: request, on: CGIConnection(contentLength: length))
    }
}
