/// One request's bytes in and out, however the web server is connected.
///
/// Reading and writing may happen on two threads at once; each alone is sequential.
package protocol Connection: AnyObject, Sendable {
    /// Reads bytes of the body; blocks for at least one.
    ///
    /// - Returns: 0 at the end of what the web server sends.
    /// - Throws: ``RequestError/disconnected`` or ``RequestError/bodyTooSlow``: a short read is
    ///   not the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(RequestError) -> Int

    /// Writes bytes of the answer and sends them.
    func write(_ bytes: UnsafeRawBufferPointer) throws(RequestError)

    /// Sets how long the client may be silent from now on; ``BodyPatience/request`` at first.
    func allow(_ patience: BodyPatience)

    /// Makes a blocked read fail.
    func cancel()

    /// Hangs up when the client goes away.
    var hangupDescriptor: Int32? { get }
}

extension Connection {
    /// Bytes of a refused body that are waited for.
    private static var maximumDrained: Int { 1 << 30 }

    /// For how long they are.
    private static var drainTime: Duration { .seconds(300) }

    /// Reads what is left of the body and drops it, so that the client is done sending when it is
    /// answered. A body that cannot be read to its end, or takes too long, is left.
    func drain() {
        allow(.request)
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var left = Self.maximumDrained
        let deadline = ContinuousClock.now + Self.drainTime
        while left > 0, ContinuousClock.now < deadline {
            // What is wrong with a body that is dropped anyway says nothing new.
            let count = buffer.withUnsafeMutableBytes { try? read(into: $0) }
            guard let count, count > 0 else { return }
            left -= count
        }
    }
}
