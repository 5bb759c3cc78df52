import Posix
import Synchronization

/// The barrier at which racers wait until all of them are ready.
private final class StartingLine: Sendable {
    private let monitor = Monitor()
    // Both are accessed only with the monitor's lock held.
    private nonisolated(unsafe) var waiting = 0
    private nonisolated(unsafe) var isOpen = false

    func wait() {
        monitor.locked {
            waiting += 1
            monitor.notify()
            monitor.wait { isOpen }
        }
    }

    /// Opens once `count` threads wait.
    func open(after count: Int) {
        monitor.locked {
            monitor.wait { waiting >= count }
            isOpen = true
            monitor.notify()
        }
    }
}

/// Runs `racer` on several threads at once: each prepares, and then all start together.
///
/// - Returns: the result of each racer, in order.
func race<Outcome: Sendable>(
    width: Int, ready: @escaping @Sendable () -> Void,
    _ racer: @escaping @Sendable (Int) -> Outcome
) throws(SystemError) -> [Outcome] {
    let start = StartingLine()
    let outcomes = Outcomes<Outcome>(width)
    let threads = ThreadGroup()
    var failure: SystemError?
    do {
        for number in 0..<width {
            try threads.start {
                ready()
                start.wait()
                outcomes.set(racer(number), at: number)
            }
        }
    } catch {
        failure = error
    }
    // Threads that were started run to their end, even if not all could be started.
    start.open(after: threads.count)
    threads.join()
    if let failure { throw failure }
    return outcomes.all
}

private final class Outcomes<Outcome: Sendable>: Sendable {
    private let slots: Mutex<[Outcome?]>

    init(_ count: Int) {
        slots = Mutex(Array(repeating: nil, count: count))
    }

    func set(_ outcome: Outcome, at index: Int) {
        slots.withLock { $0[index] = outcome }
    }

    var all: [Outcome] { slots.withLock { $0.compactMap(\.self) } }
}
