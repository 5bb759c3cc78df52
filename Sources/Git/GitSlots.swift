import Posix

/// The git processes that may run at once. A request that needs one waits for a while.
package final class GitSlots: @unchecked Sendable {
    // `free` is read and written with the monitor's lock held.
    private let monitor = Monitor()
    private var free: Int

    package init(_ count: Int) {
        free = count
    }

    /// The longest time that a request waits.
    private static let patience = Duration.seconds(30)

    /// A slot, which its owner gives back when it is destroyed.
    package struct Slot: ~Copyable {
        private let slots: GitSlots

        fileprivate init(_ slots: GitSlots) { self.slots = slots }

        deinit { slots.giveBack() }
    }

    /// Waits for a slot.
    ///
    /// - Throws: ``GitError/busy`` if none became free in time.
    package func take() throws(GitError) -> Slot {
        try monitor.locked { () throws(GitError) in
            guard monitor.wait(atMost: Self.patience, until: { free > 0 }) else { throw .busy }
            free -= 1
        }
        return Slot(self)
    }

    private func giveBack() {
        monitor.locked {
            free += 1
            monitor.notify()
        }
    }
}
