import Synchronization

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
