import Posix

/// The git processes that may run at once. A request that needs one waits in line for a while.
final class GitSlots: @unchecked Sendable {
    // `free` is read and written with the monitor's lock held.
    private let monitor = Monitor()
    private var free: Int

    init(_ count: Int) {
        free = count
    }

    /// How long a request waits in line.
    private static let patience = Duration.seconds(30)

    /// A slot; given back when its owner goes.
    struct Slot: ~Copyable {
        private let slots: GitSlots

        fileprivate init(_ slots: GitSlots) { self.slots = slots }

        deinit { slots.giveBack() }
    }

    /// Waits for a slot.
    ///
    /// - Throws: ``RequestError/busy`` when none became free in time.
    func take() throws(RequestError) -> Slot {
        try monitor.locked { () throws(RequestError) in
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
