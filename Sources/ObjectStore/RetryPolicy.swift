import Glibc

/// How often a request that may be repeated is, and how long to wait in between.
package struct RetryPolicy: Sendable {
    /// Attempts in all, the first included.
    package var attempts: Int
    /// The wait before the first repetition, at most; doubled for each further one.
    package var base: Duration
    /// No wait is longer.
    package var ceiling: Duration

    package init(
        attempts: Int = 5, base: Duration = .milliseconds(100), ceiling: Duration = .seconds(5)
    ) {
        self.attempts = attempts
        self.base = base
        self.ceiling = ceiling
    }

    /// How long to wait before repetition `number`, from 1: anything up to the doubled base ("full
    /// jitter"), so that those who failed together do not come back together.
    package func wait(before number: Int) -> Duration {
        let doubled = base * (1 << min(number - 1, 20))
        let (seconds, attoseconds) = min(doubled, ceiling).components
        let nanoseconds = seconds * 1_000_000_000 + attoseconds / 1_000_000_000
        return .nanoseconds(Int64.random(in: 0...max(nanoseconds, 1)))
    }

    /// Sleeps before repetition `number`, as ``wait(before:)`` says.
    package func pause(before number: Int) {
        let (seconds, attoseconds) = wait(before: number).components
        var wait = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        var rest = timespec()
        while nanosleep(&wait, &rest) != 0, errno == EINTR { wait = rest }
    }
}
