import Glibc
import Testing

@testable import Posix

/// Waiting for a condition.
@Suite struct MonitorTests {
    // C8
    @Test func waitIsMeasuredByTheMonotonicClock() {
        #expect(Monitor.clock == CLOCK_MONOTONIC)
        var found = CLOCK_REALTIME
        Monitor.withAttributes { pthread_condattr_getclock($0, &found) }
        #expect(found == CLOCK_MONOTONIC)
    }

    // C8: a deadline by another clock than the condition's would be past, or decades away.
    @Test func waitEndsByTruthOrTime() throws {
        let monitor = Monitor()
        let start = ContinuousClock.now
        #expect(!monitor.locked { monitor.wait(atMost: .milliseconds(50)) { false } })
        #expect(ContinuousClock.now - start >= .milliseconds(50))
        var asked = 0
        #expect(
            monitor.locked {
                monitor.wait(atMost: .milliseconds(10)) {
                    asked += 1
                    return asked == 2
                }
            })
    }
}
