import Bytes
import Glibc
import Posix
import Synchronization

/// One-shot CGI: the body on standard input, the answer on standard output. RFC 3875.
package final class CGIConnection: Connection {
    /// The longest silence while the body is expected.
    private let patience = Mutex(BodyPatience.request)

    /// Milliseconds between two checks whether the body is still needed.
    private static let interval: Int32 = 200

    private let isCancelled = Atomic<Bool>(false)

    /// When reading ends, even if bytes arrive; nil for never.
    private let end = Mutex<ContinuousClock.Instant?>(nil)

    /// Remaining bytes of the body; more must not be requested. RFC 3875 §4.2.
    private let left: Atomic<Int64>

    /// - Parameter contentLength: bytes; nil if unknown, so that the body extends to the end.
    package init(contentLength: Int64?) {
        left = Atomic(contentLength ?? .max)
    }

    /// Always nil: the web server sends SIGTERM to a CGI whose client has gone away.
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
                    // Later reads fail as well, as after a shutdown of a socket.
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
    /// Answers the request described by the process's environment.
    package static func run(_ responder: Responder, environment: [String: String]) {
        let request = Request(variables: environment, identifier: Hex.random(bytes: 8))
        var length: Int64?
        if case .known(let bytes) = request.contentLength { length = bytes }
        responder.respond(to: request, on: CGIConnection(contentLength: length))
    }
}
