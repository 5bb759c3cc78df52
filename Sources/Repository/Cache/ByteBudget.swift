import Posix

/// Bounds the bytes that several threads work on at once. One alone may have more than that.
final class ByteBudget: @unchecked Sendable {
    /// Bytes.
    let limit: Int
    // Guards what follows.
    private let monitor = Monitor()
    private var inUse = 0
    /// The most that was in use at any time.
    private(set) var peak = 0

    init(_ limit: Int) {
        self.limit = limit
    }

    /// Waits while all of it is in use: a thread that does not know yet how much it needs should not
    /// begin then.
    func waitForSome() {
        monitor.locked {
            while !monitor.wait(atMost: .seconds(60), until: { inUse == 0 || inUse < limit }) {}
        }
    }

    /// Runs `body` once that many bytes are left for it, or no other thread has any.
    func with<Value>(_ bytes: Int, _ body: () throws -> Value) rethrows -> Value {
        monitor.locked {
            while !monitor.wait(
                atMost: .seconds(60), until: { inUse == 0 || inUse + bytes <= limit })
            {}
            inUse += bytes
            peak = max(peak, inUse)
        }
        defer {
            monitor.locked {
                inUse -= bytes
                monitor.notify()
            }
        }
        return try body()
    }
}
