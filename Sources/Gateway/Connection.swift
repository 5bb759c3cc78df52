import Repository
import Synchronization

/// The body and the answer of one request, whatever the kind of connection to the web server.
///
/// Reading and writing may happen on two threads at once; each of them is sequential.
package protocol Connection: AnyObject, Sendable {
    /// Reads bytes of the body; blocks for at least one.
    ///
    /// - Returns: 0 at the end of what the web server sends.
    /// - Throws: ``RequestError/disconnected`` or ``RequestError/bodyTooSlow``: a short read is
    ///   not the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(RequestError) -> Int

    /// Writes bytes of the answer and sends them.
    func write(_ bytes: UnsafeRawBufferPointer) throws(RequestError)

    /// Makes reads fail after this time, including one that is blocked.
    func endReading(after time: Duration)

    /// Sets the longest silence of the client; it is ``BodyPatience/request`` at first.
    func allow(_ patience: BodyPatience)

    /// Makes a blocked read fail.
    func cancel()

    /// A descriptor that hangs up when the client goes away; nil if there is none.
    var hangupDescriptor: Int32? { get }
}

extension Connection {
    /// The largest rest of a refused body that is read, in bytes.
    private static var maximumDrained: Int { 1 << 30 }

    /// Reads and drops the rest of the body, so that the client has finished sending when the answer
    /// arrives: not every client reads an answer before that. Returns early if the body cannot be read
    /// or takes longer than `time`.
    func drain(atMost time: Duration) {
        allow(.request)
        endReading(after: time)
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var left = Self.maximumDrained
        let deadline = ContinuousClock.now + time
        while left > 0, ContinuousClock.now < deadline {
            // Errors of a body that is dropped anyway do not matter.
            let count = buffer.withUnsafeMutableBytes { try? read(into: $0) }
            guard let count, count > 0 else { return }
            left -= count
        }
    }
}

/// A connection that counts the bytes that are read from it.
final class CountedConnection: Connection {
    private let inner: any Connection
    private let count = Atomic<Int64>(0)

    init(_ inner: any Connection) {
        self.inner = inner
    }

    /// Bytes of the body, before decoding.
    var received: Int64 { count.load(ordering: .relaxed) }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(RequestError) -> Int {
        let read = try inner.read(into: buffer)
        count.add(Int64(read), ordering: .relaxed)
        return read
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(RequestError) { try inner.write(bytes) }
    func endReading(after time: Duration) { inner.endReading(after: time) }
    func allow(_ patience: BodyPatience) { inner.allow(patience) }
    func cancel() { inner.cancel() }
    var hangupDescriptor: Int32? { inner.hangupDescriptor }
}

/// The longest silence of a client while its body is expected. The configurations of the web servers
/// allow the same.
package enum BodyPatience: CaseIterable, Sendable {
    /// Any request: its client has the whole body before it sends it.
    case request
    /// A push that is permitted: git is silent while it compresses a large object.
    case push

    /// The longest silence. For FastCGI also the time in which each 8 KiB must arrive.
    package var duration: Duration {
        switch self {
        case .request: Self.requestDuration
        case .push: Self.pushDuration
        }
    }

    private static let requestDuration = FaultPoint.patience("request-patience", .seconds(60))
    private static let pushDuration = FaultPoint.patience("push-patience", .seconds(300))
}
