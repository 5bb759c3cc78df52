import ArgumentParser
import Git
import GitProtocol
import Glibc
import Posix
import Synchronization

/// How a command reports its failure: one sentence on standard error, and exit status 1.
enum Failure {
    /// Runs a command's work and reports the error that it throws.
    static func explained(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch let error as ValidationError {
            throw error
        } catch let code as ExitCode {
            throw code
        } catch {
            say("\(error)")
            throw ExitCode.failure
        }
    }

    /// Writes a sentence to standard error, with control characters replaced: it may quote names,
    /// and messages of git or the store, that someone else has chosen.
    static func say(_ sentence: String) {
        let text = "git-s3-backend: \(PrintableText.sentence(sentence))\n"
        // If standard error is closed, the exit status still reports the failure.
        try? writeAll(STDERR_FILENO, Array(text.utf8))
    }
}

/// A question to the user before a command that is hard to undo.
enum Confirmation {
    /// The text that was typed is not the expected name.
    private struct Mismatch: Error, CustomStringConvertible {
        let description = "The name does not match; nothing was deleted."
    }

    /// Throws if standard input is not a terminal. isatty(3).
    static func requireTerminal() throws {
        guard isatty(STDIN_FILENO) == 1 else {
            throw ValidationError(
                "No terminal to ask for confirmation. Add --yes to skip the "
                    + "question.")
        }
    }

    /// Asks on standard error for a name to be typed.
    ///
    /// - Throws: if something else was typed.
    static func ask(_ question: String, expecting name: String) throws {
        try writeAll(STDERR_FILENO, Array("\(question)\nType its name to confirm: ".utf8))
        guard readLine() == name else { throw Mismatch() }
    }
}

/// The line at the bottom of a terminal that shows the progress of a command. It is shown only if
/// standard error is a terminal.
final class ProgressLine: Sendable {
    private struct State {
        var last: ContinuousClock.Instant?
        var isShown = false
    }

    private let state = Mutex(State())
    private let isShowing: Bool

    /// The shortest time between two updates, so that people can read them.
    private static let interval = Duration.milliseconds(100)
    /// The length of a line, in columns, that fits every terminal.
    private static let width = 79

    /// - Parameter isQuiet: whether `--quiet` was given.
    init(isQuiet: Bool) {
        isShowing = !isQuiet && isatty(STDERR_FILENO) == 1
    }

    /// The receiver of progress reports.
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

    /// Removes the line, before permanent output is printed.
    func clear() {
        state.withLock { state in
            if state.isShown { write("\r\u{1b}[K") }
            state.isShown = false
            state.last = nil
        }
    }

    private func write(_ text: String) {
        // If standard error is closed, no result is lost.
        try? writeAll(STDERR_FILENO, Array(text.utf8))
    }
}

/// How many of many repositories a command changed.
struct Tally {
    var done = 0
    var unchanged = 0
    var failed = 0

    /// - Parameter verb: the action, as a participle.
    func sentence(_ verb: String) -> String {
        "\(done) \(verb), \(unchanged) up to date, \(failed) failed."
    }
}

/// A number of things, `1 ref` or `2 refs`.
func counted(_ number: Int, _ thing: String) -> String {
    "\(number) \(thing)\(number == 1 ? "" : "s")"
}
