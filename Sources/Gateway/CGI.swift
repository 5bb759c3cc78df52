import Bytes
import Glibc
package import Posix
package import Repository
import Synchronization

/// One-shot CGI: the body on standard input, the answer on standard output. RFC 3875.
package final class CGIConnection: Connection {
    /// How long no byte of the body may come before it is given up.
    private let patience = Mutex(BodyPatience.request)

    /// Milliseconds between two looks at whether the body is still wanted.
    private static let interval: Int32 = 200

    private let isCancelled = Atomic<Bool>(false)

    /// When reading ends, whatever comes; nil: never.
    private let end = Mutex<ContinuousClock.Instant?>(nil)

    /// Bytes of the body that are still to come; more must not be asked for. RFC 3875 §4.2.
    private let left: Atomic<Int64>

    /// - Parameter contentLength: bytes; nil if it was not given: the body goes to the end.
    package init(contentLength: Int64?) {
        left = Atomic(contentLength ?? .max)
    }

    /// The server sends SIGTERM to a CGI whose client is gone.
    package var hangupDescriptor: Int32? { nil }

    package func endReading(after time: Duration) { end.withLock { $0 = .now + time } }

    package func allow(_ patience: BodyPatience) { self.patience.withLock { $0 = patience } }

    package func cancel() { isCancelled.store(true, ordering: .relaxed) }

    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(RequestError) -> Int {
        let buffer = UnsafeMutableRawBufferPointer(
            rebasing: buffer.prefix(Int(clamping: left.load(ordering: .relaxed))))
        if buffer.isEmpty { return 0 }
        var polled = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        let silence = ContinuousClock.now + patience.withLock { $0.duration }
        let deadline = end.withLock { $0.map { min($0, silence) } ?? silence }
        do {
            repeat {
                if isCancelled.load(ordering: .relaxed) || ContinuousClock.now >= deadline {
                    // Nothing more is waited for, as when a socket was shut down.
                    cancel()
                    throw RequestError.bodyTooSlow
                }
            } while try check("poll") { poll(&polled, 1, Self.interval) } == 0
            let count = try readSome(STDIN_FILENO, into: buffer)
            left.subtract(Int64(count), ordering: .relaxed)
            return count
        } catch let error as RequestError {
            throw error
        } catch {
            throw .disconnected
        }
    }

    package func write(_ bytes: UnsafeRawBufferPointer) throws(RequestError) {
        do {
            try writeAll(STDOUT_FILENO, bytes)
        } catch {
            throw .disconnected
        }
    }
}

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
