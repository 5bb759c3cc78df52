import Dispatch
import Glibc
import Posix
import Synchronization

/// Waits for something of which this process gets no notice: a socket that
/// accepts, a file that another process makes.
package func wait(
    for what: String, upTo limit: Duration = .seconds(30), _ condition: () throws -> Bool
) throws {
    let clock = ContinuousClock()
    let deadline = clock.now + limit
    while try !condition() {
        if clock.now >= deadline { throw TestFailure("Waited \(limit) in vain for \(what).") }
        usleep(5000)
    }
}

/// Work on a thread of its own, whose value is waited for later.
package final class Background<Value: Sendable>: Sendable {
    private let outcome = Mutex<Result<Value, any Error>?>(nil)
    private let done = DispatchSemaphore(value: 0)

    package init(_ body: @escaping @Sendable () throws -> Value) {
        startThread { [self] in
            let result = Result { try body() }
            outcome.withLock { $0 = result }
            done.signal()
        }
    }

    /// Whether the work is over.
    package var isDone: Bool { outcome.withLock { $0 != nil } }

    /// Waits for the end of the work.
    package func value() throws -> Value {
        done.wait()
        done.signal()
        guard let result = outcome.withLock({ $0 }) else { throw TestFailure("no outcome") }
        return try result.get()
    }
}

/// Runs work on `count` threads at the same time; the results in order.
package func concurrently<Value: Sendable>(
    _ count: Int, _ body: (Int) throws -> Value
) throws -> [Value] {
    let outcomes = Mutex<[Int: Result<Value, any Error>]>([:])
    try withoutActuallyEscaping(body) { body in
        // Every thread is joined before this closure returns.
        nonisolated(unsafe) let body = body
        let threads = ThreadGroup()
        defer { threads.join() }
        for number in 0..<count {
            try threads.start {
                let outcome = Result { try body(number) }
                outcomes.withLock { $0[number] = outcome }
            }
        }
    }
    let all = outcomes.withLock { $0 }
    return try (0..<count).compactMap { try all[$0]?.get() }
}

/// A door that is shut until it is opened, or until as many threads as it waits for have arrived.
package final class Gate: Sendable {
    private let monitor = Monitor()
    private let state: Mutex<State>

    private struct State {
        var isOpen = false
        var arrived = 0
        let expected: Int
    }

    /// - Parameter expected: the number of threads that open it by arriving; by default none does.
    package init(openingAt expected: Int = .max) {
        state = Mutex(State(expected: expected))
    }

    /// - Returns: whether it was shut.
    @discardableResult
    package func open() -> Bool {
        monitor.locked {
            let wasShut = state.withLock { state in
                defer { state.isOpen = true }
                return !state.isOpen
            }
            monitor.notify()
            return wasShut
        }
    }

    package var isOpen: Bool { state.withLock { $0.isOpen } }

    /// Waits until the gate is open, for a minute at most, so that no thread waits forever.
    package func pass(upTo limit: Duration = .seconds(60)) {
        monitor.locked {
            state.withLock {
                $0.arrived += 1
                if $0.arrived >= $0.expected { $0.isOpen = true }
            }
            monitor.notify()
            _ = monitor.wait(atMost: limit) { isOpen }
        }
    }
}

/// Starts a thread that nobody joins. Without one no test can go on.
package func startThread(_ body: @escaping @Sendable () -> Void) {
    do {
        _ = try Thread(body)
    } catch {
        fatalError("\(error)")
    }
}
