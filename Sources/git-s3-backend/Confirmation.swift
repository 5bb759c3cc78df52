import ArgumentParser
import Glibc
import Posix

/// A question to a person before something that is hard to take back.
enum Confirmation {
    /// What was typed is not what was asked for.
    private struct Mismatch: Error, CustomStringConvertible {
        let description = "That is not its name: nothing was done."
    }

    /// Refuses to go on where nobody can be asked. isatty(3).
    static func requireTerminal() throws {
        guard isatty(STDIN_FILENO) == 1 else {
            throw ValidationError("There is no terminal to ask on. Give --yes to do it unasked.")
        }
    }

    /// Asks on standard error for a name to be typed.
    ///
    /// - Throws: where it is not that which was typed.
    static func ask(_ question: String, expecting name: String) throws {
        try writeAll(STDERR_FILENO, Array("\(question)\nType its name: ".utf8))
        guard readLine() == name else { throw Mismatch() }
    }
}
