import Repository
import GitProtocol
import Glibc
import Posix
import Synchronization

/// The line at the foot of a terminal that says how far a command has come. Where standard error is
/// no terminal there is none.
final class ProgressLine: Sendable {
    private struct State {
        var last: ContinuousClock.Instant?
        var isShown = false
    }

    private let state = Mutex(State())
    private let isShowing: Bool

    /// Between two lines; more often nobody can read them.
    private static let interval = Duration.milliseconds(100)
    /// Columns that any terminal has.
    private static let width = 79

    /// - Parameter isQuiet: the operator's wish.
    init(isQuiet: Bool) {
        isShowing = !isQuiet && isatty(STDERR_FILENO) == 1
    }

    /// What the library reports to.
    var progress: Progress {
        isShowing ? Progress { [self] line, weight in show(line, weight) } : .none
    }

    private func show(_ line: String, _ weight: Progress.Weight) {
        state.withLock { state in
            let now = ContinuousClock.now
            if weight == .count, let last = state.last, now - last < Self.interval { return }
            state.last = now
            state.isShown = true
            let text = PrintableText.sentence(line).prefix(Self.width)
            write("\r\(text)\u{1b}[K")
        }
    }

    /// Takes the line away, before something is said that stays.
    func clear() {
        state.withLock { state in
            if state.isShown { write("\r\u{1b}[K") }
            state.isShown = false
            state.last = nil
        }
    }

    private func write(_ text: String) {
        // Where nobody sees it, nothing is lost.
        try? writeAll(STDERR_FILENO, Array(text.utf8))
    }
}
