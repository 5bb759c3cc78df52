import Synchronization

/// Tells work that nobody waits for to end. It is looked at between steps and while git runs.
package final class Cancellation: Sendable {
    private let wanted = Mutex(false)

    package init() {}

    /// Asks the work to end; once asked, it stays so.
    package func cancel() { wanted.withLock { $0 = true } }

    package var isWanted: Bool { wanted.withLock { $0 } }

    /// Returns if the work may go on.
    package func check() throws(Cancelled) {
        if isWanted { throw Cancelled() }
    }

    /// Work ended because it was asked to.
    package struct Cancelled: Error, CustomStringConvertible {
        package var description: String { "The server is stopping." }
    }
}
