/// Threads that are joined together; an array cannot hold a ``Thread``.
package final class ThreadGroup {
    private var threads: [UnsafeMutablePointer<Thread>] = []

    package init() {}

    deinit {
        for slot in threads {
            slot.deinitialize(count: 1)
            slot.deallocate()
        }
    }

    /// The number of threads started and not joined.
    package var count: Int { threads.count }

    /// Starts one more thread. pthread_create(3).
    package func start(
        stackBytes: Int = 1 << 20, _ body: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        let thread = try Thread(stackBytes: stackBytes, body)
        let slot = UnsafeMutablePointer<Thread>.allocate(capacity: 1)
        slot.initialize(to: thread)
        threads.append(slot)
    }

    /// Waits until all threads have ended. pthread_join(3).
    package func join() {
        for slot in threads {
            slot.move().join()
            slot.deallocate()
        }
        threads = []
    }
}
