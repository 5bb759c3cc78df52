import Glibc
import Posix
import Synchronization

/// Where threads wait for each other. pthread_cond_wait(3).
private final class Barrier: @unchecked Sendable {
    // Only touched with `mutex` held; both at addresses that do not change.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var waiting = 0
    private var isOpen = false

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    func wait() {
        pthread_mutex_lock(mutex)
        waiting += 1
        pthread_cond_broadcast(changed)
        while !isOpen { pthread_cond_wait(changed, mutex) }
        pthread_mutex_unlock(mutex)
    }

    /// Opens once `count` threads wait.
    func open(after count: Int) {
        pthread_mutex_lock(mutex)
        while waiting < count { pthread_cond_wait(changed, mutex) }
        isOpen = true
        pthread_cond_broadcast(changed)
        pthread_mutex_unlock(mutex)
    }
}

/// Runs `racer` on as many threads at once: each makes itself ready, and all set off together.
///
/// - Returns: what each racer brought back, in order.
func race<Outcome: Sendable>(
    width: Int, ready: @escaping @Sendable () -> Void,
    _ racer: @escaping @Sendable (Int) -> Outcome
) throws(SystemError) -> [Outcome] {
    let barrier = Barrier()
    let outcomes = Outcomes<Outcome>(width)
    var threads: [JoinedThread] = []
    var failure: SystemError?
    do {
        threads.reserveCapacity(width)
        while threads.count < width {
            let number = threads.count
            threads.append(
                try JoinedThread {
                    ready()
                    barrier.wait()
                    outcomes.set(racer(number), at: number)
                })
        }
    } catch {
        failure = error
    }
    // Those that did start run to their end, also when not all could.
    barrier.open(after: threads.count)
    for thread in threads { thread.join() }
    if let failure { throw failure }
    return outcomes.all
}

/// A thread that an array can hold.
private final class JoinedThread {
    private var thread: Thread?

    init(_ body: @escaping @Sendable () -> Void) throws(SystemError) {
        thread = try Thread(body)
    }

    func join() {
        if let thread = thread.take() { thread.join() }
    }
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
