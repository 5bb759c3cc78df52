import Glibc

/// The signals that this process handles, and what it must not inherit. signal(7).
package enum Signals {
    /// The signals that end a server.
    package static let ending = [SIGTERM, SIGINT, SIGHUP, SIGUSR1]

    /// Puts standard descriptors and signals in order. Call it before anything else.
    package static func prepareProcess() {
        // If one of the three were closed, the next file opened would get its number, and messages for
        // standard error would end up among its bytes.
        while true {
            let descriptor = open("/dev/null", O_RDWR)
            if descriptor > STDERR_FILENO { close(descriptor) }
            if descriptor < 0 || descriptor > STDERR_FILENO { break }
        }
        // A process that ignores SIGCHLD cannot wait for its children. wait(2).
        signal(SIGCHLD, SIG_DFL)
        ignoreBrokenPipes()
    }

    /// Makes a broken connection an error of write(2) instead of a signal. libcurl leaves this to its
    /// callers, and libfcgi sets handlers of its own.
    package static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }

    /// Blocks the signals that end a server, in every thread started from now on, so that
    /// ``wait(for:)`` receives them.
    package static func blockEnding() {
        ignoreBrokenPipes()
        var set = set(of: ending)
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Waits for one of these signals, which must be blocked. sigwait(3).
    ///
    /// - Returns: the signal's number.
    package static func wait(for signals: [Int32] = ending) -> Int32 {
        var set = set(of: signals)
        var received: Int32 = 0
        sigwait(&set, &received)
        return received
    }

    private static func set(of signals: [Int32]) -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        return set
    }
}
