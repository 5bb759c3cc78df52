import Git
import Posix
import Synchronization
import TestSupport
import Testing

/// Counts across threads.
final class Counter: Sendable {
    private let state = Mutex((now: 0, most: 0, all: 0))

    func add() {
        state.withLock { state in
            state.now += 1
            state.all += 1
            state.most = max(state.most, state.now)
        }
    }

    func remove() { state.withLock { $0.now -= 1 } }
    var value: Int { state.withLock { $0.all } }
    var most: Int { state.withLock { $0.most } }
}

/// Slots for git.
@Suite struct GitSlotsTests {
    @Test(arguments: [1, 3])
    func slotsAreBoundedAndEveryWaiterGetsOne(count: Int) throws {
        let slots = GitSlots(count)
        let counter = Counter()
        _ = try concurrently(12) { _ in
            for _ in 0..<20 {
                let slot = try slots.take()
                counter.add()
                RetryPolicy.shortly()
                counter.remove()
                _ = consume slot
            }
            return 0
        }
        #expect(counter.value == 240)
        #expect(counter.most <= count)
    }
}

import ObjectStore

extension RetryPolicy {
    /// Waits for a moment.
    fileprivate static func shortly() {
        RetryPolicy(attempts: 1, base: .microseconds(200)).pause(before: 1)
    }
}
