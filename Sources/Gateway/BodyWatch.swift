import Glibc
import Posix
import Synchronization

/// Cuts off connections whose bytes come in slower than a minimum rate: libfcgi's blocking reads
/// know no time-out.
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
            /// When reading ends, whatever comes; nil: never.
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

        /// Makes reads of the connection fail from then on.
        func endReading(at end: ContinuousClock.Instant) { state.withLock { $0.end = end } }

        /// Sets how long one read may take.
        func allow(_ patience: BodyPatience) { state.withLock { $0.patience = patience } }

        /// Makes reads of the connection fail.
        func shutDown() {
            state.withLock { state in
                // Once it is closed the number may be another's.
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

    private func cutSlowOnes() {
        let now = ContinuousClock.now
        for entry in entries.withLock({ Array($0.values) }) { entry.cutIfSlow(now) }
    }
}
