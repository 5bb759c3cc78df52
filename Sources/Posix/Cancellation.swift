import Synchronization

/// A request to end work that nobody waits for. The work checks it between steps and while git
/// runs.
package final class Cancellation: Sendable {
    private let wanted = Mutex(false)

    package init() {}

    /// Requests the end of the work, for good.
    package func cancel() { wanted.withLock { $0 = true } }

    package var isWanted: Bool { wanted.withLock { $0 } }

    /// Returns if the work may continue.
    package func check() throws(Cancelled) {
        if isWanted { throw Cancelled() }
    }

    /// The work ended because that was requested.
    package struct Cancelled: Error, CustomStringConvertible {
        package var description: String { "The server is stopping." }
    }
}
