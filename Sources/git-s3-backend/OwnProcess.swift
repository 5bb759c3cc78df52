import Glibc

/// What this process must not inherit from whoever started it.
enum OwnProcess {
    /// Puts standard descriptors and signals in order; first of all.
    static func prepare() {
        // With one of the three closed the next file opened would take its number, and get what is
        // said on standard error, say, among its bytes.
        while true {
            let descriptor = open("/dev/null", O_RDWR)
            if descriptor > STDERR_FILENO { close(descriptor) }
            if descriptor < 0 || descriptor > STDERR_FILENO { break }
        }
        // A child of a process that ignores SIGCHLD cannot be waited for. wait(2).
        signal(SIGCHLD, SIG_DFL)
        // libcurl leaves a broken TLS connection to whoever uses it.
        signal(SIGPIPE, SIG_IGN)
    }
}
