import CFastCGI
import Glibc
import Posix
import Synchronization

/// One FastCGI request, read and answered by libfcgi. The FastCGI specification 1.0; fcgiapp.h.
///
/// Reading and writing may happen on two threads: libfcgi keeps two streams, and each is used by
/// one thread at a time.
final class FastCGIConnection: Connection, @unchecked Sendable {
    // libfcgi keeps the request's address: it must not move.
    private let request: UnsafeMutablePointer<FCGX_Request>
    private let descriptor: Int32
    private let watch: BodyWatch.Entry

    /// Bytes of one read. `FCGX_GetStr` blocks until it has all of them, so they must arrive within
    /// ``BodyPatience/duration``.
    private static let readSize = 8192

    /// Seconds that a write waits for a client that does not read. `send_timeout` in our nginx
    /// configuration is shorter; other web servers may have none.
    private static let writePatience = 360

    /// Takes over a connection from the web server and reads the request's head.
    ///
    /// - Returns: nil if it is not a FastCGI request; then the connection is closed.
    init?(accepting connection: consuming OwnedDescriptor, watchedBy watch: BodyWatch) {
        descriptor = connection.release()
        request = .allocate(capacity: 1)
        request.initialize(to: FCGX_Request())
        self.watch = watch.add(descriptor)
        var patience = timeval(tv_sec: Self.writePatience, tv_usec: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        guard FCGX_InitRequest(request, -1, 0) == 0 else { return nil }
        request.pointee.ipcFd = descriptor
        // Accept_r first finishes the previous request, and must not close the new connection.
        request.pointee.keepConnection = 1
        let accepted = self.watch.whileReading { FCGX_Accept_r(request) }
        guard accepted == 0 else {
            // libfcgi has closed the descriptor.
            request.pointee.ipcFd = -1
            return nil
        }
    }

    deinit {
        watch.remove()
        if request.pointee.ipcFd >= 0 {
            request.pointee.keepConnection = 0
            FCGX_Finish_r(request)
        }
        request.deinitialize(count: 1)
        request.deallocate()
    }

    /// The request's variables.
    var variables: [String: String] { Environment.variables(in: request.pointee.envp) }

    var hangupDescriptor: Int32? { descriptor }

    func endReading(after time: Duration) { watch.endReading(at: .now + time) }

    func cancel() { watch.shutDown() }

    func allow(_ patience: BodyPatience) { watch.allow(patience) }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(RequestError) -> Int {
        let wanted = min(buffer.count, Self.readSize)
        guard let base = buffer.baseAddress?.assumingMemoryBound(to: CChar.self), wanted > 0 else {
            return 0
        }
        let count = watch.whileReading {
            FCGX_GetStr(base, Int32(wanted), request.pointee.in)
        }
        // A short read is the end of the stream, but not always of the body.
        if count < wanted, FCGX_GetError(request.pointee.in) != 0 {
            throw watch.wasShutDown ? .bodyTooSlow : .disconnected
        }
        return Int(count)
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(RequestError) {
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: CChar.self) else { return }
        guard FCGX_PutStr(base, Int32(bytes.count), request.pointee.out) == Int32(bytes.count),
            FCGX_FFlush(request.pointee.out) == 0, FCGX_GetError(request.pointee.out) == 0
        else {
            // libfcgi would send its remaining bytes again when the request is finished.
            shutdown(descriptor, Int32(SHUT_RDWR))
            throw .disconnected
        }
    }
}

/// Shuts down connections whose bytes arrive slower than a minimum rate: libfcgi's blocking reads have
/// no timeout.
final class BodyWatch: Sendable {
    private let entries = Mutex<[ObjectIdentifier: Entry]>([:])

    /// Starts the watching thread, which ends with the process.
    init() throws(SystemError) {
        let thread = try Thread(stackBytes: 1 << 17) { [weak self] in
            while let self {
                self.cutSlowOnes()
                sleep(1)
            }
        }
        _ = consume thread
    }

    /// One connection.
    final class Entry: Sendable {
        private struct State {
            var readingSince: ContinuousClock.Instant?
            /// When reading ends, even if bytes arrive; nil for never.
            var end: ContinuousClock.Instant?
            var patience = BodyPatience.request
            var isOpen = true
            var wasShutDown = false
        }

        private let descriptor: Int32
        private let state = Mutex(State())
        private let watch: BodyWatch

        fileprivate init(_ descriptor: Int32, _ watch: BodyWatch) {
            self.descriptor = descriptor
            self.watch = watch
        }

        /// Runs one blocking read under watch.
        func whileReading<Value>(_ body: () -> Value) -> Value {
            state.withLock { $0.readingSince = .now }
            defer { state.withLock { $0.readingSince = nil } }
            return body()
        }

        /// Makes reads of the connection fail after a time.
        func endReading(at end: ContinuousClock.Instant) { state.withLock { $0.end = end } }

        /// Sets the time limit of one read.
        func allow(_ patience: BodyPatience) { state.withLock { $0.patience = patience } }

        /// Makes reads of the connection fail.
        func shutDown() {
            state.withLock { state in
                // After the descriptor is closed its number may be reused.
                guard state.isOpen else { return }
                shutdown(descriptor, Int32(SHUT_RD))
                state.wasShutDown = true
            }
        }

        var wasShutDown: Bool { state.withLock { $0.wasShutDown } }

        /// Ends the watch; the descriptor may be closed from now on.
        func remove() {
            state.withLock { $0.isOpen = false }
            watch.entries.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(self)) }
        }

        fileprivate func cutIfSlow(_ now: ContinuousClock.Instant) {
            let (since, patience, end) = state.withLock {
                ($0.readingSince, $0.patience, $0.end)
            }
            guard let since else { return }
            if now - since > patience.duration || end.map({ now >= $0 }) == true { shutDown() }
        }
    }

    /// Watches a connection until ``Entry/remove()``.
    func add(_ descriptor: Int32) -> Entry {
        let entry = Entry(descriptor, self)
        entries.withLock { $0[ObjectIdentifier(entry)] = entry }
        return entry
    }

    /// Makes reads of all connections fail.
    func shutDownAll() {
        for entry in entries.withLock({ Array($0.values) }) { entry.shutDown() }
    }

    private func cutSlowOnes() {
        let now = ContinuousClock.now
        for entry in entries.withLock({ Array($0.values) }) { entry.cutIfSlow(now) }
    }
}
