import Glibc

/// How often a repeatable request is repeated, and how long to wait in between.
package struct RetryPolicy: Sendable {
    /// The number of attempts, including the first.
    package var attempts: Int
    /// The longest wait before the first repetition. It doubles for each further one.
    package var base: Duration
    /// The upper limit of all waits.
    package var ceiling: Duration

    package init(
        attempts: Int = 5, base: Duration = .milliseconds(100), ceiling: Duration = .seconds(5)
    ) {
        self.attempts = attempts
        self.base = base
        self.ceiling = ceiling
    }

    /// Returns a random wait before repetition `number`, counted from 1: up to the doubled base
    /// ("full jitter"), so that clients that failed together do not return together.
    package func wait(before number: Int) -> Duration {
        let doubled = base * (1 << min(number - 1, 20))
        let (seconds, attoseconds) = min(doubled, ceiling).components
        let nanoseconds = seconds * 1_000_000_000 + attoseconds / 1_000_000_000
        return .nanoseconds(Int64.random(in: 0...max(nanoseconds, 1)))
    }

    /// Sleeps for ``wait(before:)`` before repetition `number`.
    package func pause(before number: Int) {
        let (seconds, attoseconds) = wait(before: number).components
        var wait = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        var rest = timespec()
        while nanosleep(&wait, &rest) != 0, errno == EINTR { wait = rest }
    }
}
