import Glibc
import Posix

/// Bounds the number of git processes that work at the same time. Requests that need one wait in a
/// fair line, in which clients take turns.
///
/// A git that waits for its client lends its slot to others, so more processes may exist than work.
package final class GitSlots: @unchecked Sendable {
    // All variables are read and written with the monitor's lock held.
    private let monitor = Monitor()
    private var free: Int
    /// The number of slots that are held or lent.
    private var processes = 0
    private var line = FairLine()
    /// The requests that have been served, but whose threads have not noticed yet.
    private var served: Set<FairLine.Ticket> = []
    private var isClosed = false
    private let maximumProcesses: Int
    private let patience: Duration

    /// The number of processes that may exist for each one that may work.
    private static let processesPerSlot = 4
    /// The interval in which a waiting thread checks that its client is still connected.
    private static let interval = Duration.milliseconds(200)

    /// - Parameter patience: the longest time that a request waits in the line.
    package init(_ count: Int, patience: Duration = .seconds(600)) {
        free = count
        maximumProcesses = count * Self.processesPerSlot
        self.patience = patience
    }

    /// A slot, which is released when this value is destroyed.
    package struct Slot: ~Copyable {
        private let slots: GitSlots

        fileprivate init(_ slots: GitSlots) { self.slots = slots }

        deinit { slots.giveBack(ending: true) }

        /// Lends the slot to others while `body` waits for a client, and then waits until a slot is
        /// free again, however long that takes. Requests that have not begun are served later.
        package func lend<Value>(_ body: () throws -> Value) rethrows -> Value {
            slots.giveBack(ending: false)
            defer { slots.takeBack() }
            return try body()
        }
    }

    /// The number of requests in the line.
    package var waiting: Int { monitor.locked { line.count } }

    /// Refuses all waiting and all future requests, because the process is ending.
    package func close() {
        monitor.locked {
            isClosed = true
            monitor.notify()
        }
    }

    /// Waits for a slot.
    ///
    /// - Parameters:
    ///   - client: the client that sent the request: its user, or else its address.
    ///   - hangup: a descriptor that hangs up when the client goes away; nil if there is none.
    /// - Throws: ``GitError/busy`` if its turn did not come in time, ``GitError/clientGone``.
    package func take(
        for client: GitProgram.Client, hangup: Int32? = nil
    ) throws(GitError) -> Slot {
        try monitor.locked { () throws(GitError) in
            if isClosed { throw .busy }
            let ticket = line.join(client.user.isEmpty ? client.address : client.user)
            serve()
            let end = ContinuousClock.now + patience
            while !served.contains(ticket) {
                let isLate = isClosed || ContinuousClock.now >= end
                if isLate || hangup.map(Self.isHungUp) == true {
                    _ = line.leave(ticket)
                    throw isLate ? .busy : .clientGone
                }
                _ = monitor.wait(atMost: Self.interval) {
                    isClosed || served.contains(ticket)
                }
            }
            served.remove(ticket)
        }
        return Slot(self)
    }

    private func takeBack() {
        monitor.locked {
            let ticket = line.join(nil)
            serve()
            monitor.wait { served.contains(ticket) }
            served.remove(ticket)
        }
    }

    private func giveBack(ending: Bool) {
        monitor.locked {
            free += 1
            if ending { processes -= 1 }
            serve()
        }
    }

    /// Serves the requests whose turn it is. Called with the lock held.
    private func serve() {
        var isServed = false
        while free > 0,
            let ticket = line.next(onlyReturning: processes >= maximumProcesses)
        {
            free -= 1
            if !ticket.isReturning { processes += 1 }
            served.insert(ticket)
            isServed = true
        }
        if isServed { monitor.notify() }
    }

    private static func isHungUp(_ descriptor: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: PollEvents.hangup, revents: 0)
        return poll(&entry, 1, 0) > 0
    }
}
