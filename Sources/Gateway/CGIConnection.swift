import Glibc
import Posix
import Synchronization

/// One-shot CGI: the body on standard input, the answer on standard output. RFC 3875.
package final class CGIConnection: Connection {
    /// Milliseconds without a byte of the body, after which it is given up.
    private static let patience: Int32 = 60_000

    /// Bytes of the body that are still to come; more must not be asked for. RFC 3875 §4.2.
    private let left: Atomic<Int64>

    /// - Parameter contentLength: bytes; nil if it was not given: the body goes to the end.
    package init(contentLength: Int64?) {
        left = Atomic(contentLength ?? .max)
    }

    package var hangupDescriptor: Int32? { nil }

    /// The server sends SIGTERM to a CGI whose client is gone; nothing else can be done here.
    package func cancel() {}

    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(RequestError) -> Int {
        let buffer = UnsafeMutableRawBufferPointer(
            rebasing: buffer.prefix(Int(clamping: left.load(ordering: .relaxed))))
        if buffer.isEmpty { return 0 }
        var polled = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        do {
            let ready = try check("poll") { poll(&polled, 1, Self.patience) }
            if ready == 0 { throw RequestError.bodyTooSlow }
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
