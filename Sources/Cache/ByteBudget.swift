import Posix

/// Bounds the total of the bytes that several threads work on at once. A single thread may exceed
/// it.
final class ByteBudget: @unchecked Sendable {
    /// The bound, in bytes.
    let limit: Int
    // Guards the properties below.
    private let monitor = Monitor()
    private var inUse = 0
    /// The largest number of bytes that was in use at any time.
    private(set) var peak = 0

    init(_ limit: Int) {
        self.limit = limit
    }

    /// Waits while the whole budget is in use. Only a thread that does not know yet how much it
    /// needs has to call this before it begins.
    func waitForSome() {
        monitor.locked {
            while !monitor.wait(atMost: .seconds(60), until: { inUse == 0 || inUse < limit }) {}
        }
    }

    /// Runs `body` as soon as that many bytes are free, or no other thread uses any.
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
