import Glibc

/// A lock with a condition to wait for. pthread_mutex_lock(3), pthread_cond_timedwait(3).
///
/// `Synchronization.Mutex` has no condition. Each user documents what its monitor guards.
package final class Monitor: @unchecked Sendable {
    // pthread objects live at fixed addresses.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    /// The clock for waits: one that nobody sets, unlike the time of day. clock_gettime(2).
    static let clock = CLOCK_MONOTONIC

    package init() {
        pthread_mutex_init(mutex, nil)
        Self.withAttributes { _ = pthread_cond_init(condition, $0) }
    }

    /// Runs `body` with the attributes of the condition. pthread_condattr_setclock(3).
    static func withAttributes(_ body: (UnsafeMutablePointer<pthread_condattr_t>) -> Void) {
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, clock)
        body(&attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` with the lock held.
    package func locked<Value: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Value
    ) throws(Failure) -> Value {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }

        return try body()
    }

    /// Waits, with the lock held, until `isTrue` or the time is over; the lock is free in the
    /// meantime. A change of the time of day neither shortens nor prolongs the wait.
    ///
    /// - Returns: whether it is true.
    package func wait(atMost time: Duration, until isTrue: () -> Bool) -> Bool {
        var end = timespec()
        clock_gettime(Self.clock, &end)
        let (seconds, attoseconds) = time.components
        end.tv_nsec += Int(attoseconds / 1_000_000_000)
        end.tv_sec += Int(seconds) + end.tv_nsec / 1_000_000_000
        end.tv_nsec %= 1_000_000_000
        while !isTrue() {
            // Check once more: the condition may have become true just as the wait timed out.
            if pthread_cond_timedwait(condition, mutex, &end) == ETIMEDOUT { return isTrue() }
        }
        return true
    }

    /// Waits, with the lock held, until `isTrue`; the lock is free in the meantime.
    package func wait(until isTrue: () -> Bool) {
        while !isTrue() { pthread_cond_wait(condition, mutex) }
    }

    /// Wakes all waiting threads. Call it with the lock held.
    package func notify() {
        pthread_cond_broadcast(condition)
    }
}
