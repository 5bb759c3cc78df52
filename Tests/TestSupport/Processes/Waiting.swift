import Dispatch
import Glibc
import Posix
import Synchronization

/// Waits until something that this process cannot be told of has come about: a socket that
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

/// Runs `count` pieces of work at the same time, each on its thread; their values in order.
package func concurrently<Value: Sendable>(
    _ count: Int, _ body: @escaping @Sendable (Int) throws -> Value
) throws -> [Value] {
    let running = (0..<count).map { number in Background { try body(number) } }
    return try running.map { try $0.value() }
}

/// A door that starts shut, and that any number of threads wait behind.
package final class Gate: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)
    private let opened = Mutex(false)

    package init() {}

    package func open() {
        opened.withLock { $0 = true }
        semaphore.signal()
    }

    package var isOpen: Bool { opened.withLock { $0 } }

    /// Waits until the gate is open; a minute at most, so that no thread waits for ever.
    package func pass() {
        if semaphore.wait(timeout: .now() + 60) == .success { semaphore.signal() }
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
