import Glibc
import Posix

/// The git processes that may run at once. A request that needs one waits in line for a while.
final class GitSlots: @unchecked Sendable {
    // `free` is read and written with `mutex` held; pthread objects live at fixed addresses.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var free: Int

    init(_ count: Int) {
        free = count
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Seconds that a request waits in line.
    private static let patience = 30

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
        var until = timespec()
        clock_gettime(CLOCK_REALTIME, &until)
        until.tv_sec += Self.patience

        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }

        while free == 0 {
            // A slot that became free in the last moment was signalled to nobody else.
            if pthread_cond_timedwait(condition, mutex, &until) == ETIMEDOUT, free == 0 {
                throw .busy
            }
        }
        free -= 1
        return Slot(self)
    }

    private func giveBack() {
        pthread_mutex_lock(mutex)
        free += 1
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
    }
}
