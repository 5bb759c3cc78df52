import Synchronization

/// Limits the rate of log lines that clients could cause at will: a log that rotates or drops lines
/// must not lose the others.
final class LineLimiter: Sendable {
    private struct State {
        var began: ContinuousClock.Instant?
        var lines = 0
        var suppressed = 0
    }

    private let state = Mutex(State())
    private let perSecond: Int

    /// - Parameter perSecond: the number of lines per second.
    init(perSecond: Int) {
        self.perSecond = perSecond
    }

    /// Returns whether a line may be logged now.
    ///
    /// - Returns: the number of lines suppressed since the last one; nil if this one is suppressed
    ///   as well.
    func admit(at now: ContinuousClock.Instant = .now) -> Int? {
        state.withLock { state in
            if let began = state.began, now - began < .seconds(1) {
                guard state.lines < perSecond else {
                    state.suppressed += 1
                    return nil
                }
            } else {
                state.began = now
                state.lines = 0
            }
            state.lines += 1
            defer { state.suppressed = 0 }
            return state.suppressed
        }
    }
}
