import Posix
import Synchronization

/// Runs `body` on as many threads, and brings back what each returned, in order.
package func inParallel<Outcome: Sendable>(
    _ width: Int, _ body: (Int) throws -> Outcome
) throws -> [Outcome] {
    let outcomes = Mutex<[Int: Result<Outcome, any Error>]>([:])
    try withoutActuallyEscaping(body) { body in
        // Every thread is joined before this closure returns.
        nonisolated(unsafe) let body = body
        func start(_ number: Int) throws {
            if number == width { return }
            let thread = try Thread {
                let outcome = Result { try body(number) }
                outcomes.withLock { $0[number] = outcome }
            }
            let rest = Result { try start(number + 1) }
            thread.join()
            try rest.get()
        }
        try start(0)
    }
    let all = outcomes.withLock { $0 }
    return try (0..<width).compactMap { try all[$0]?.get() }
}
