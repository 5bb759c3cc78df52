import ArgumentParser
import GitProtocol
import Glibc
import Posix

/// How a command that failed says so: one sentence on standard error, exit status 1.
enum Failure {
    /// Runs a command's work.
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

    /// Writes a sentence to standard error. It may quote names, and words of git's or of the store's,
    /// that somebody else has chosen.
    static func say(_ sentence: String) {
        let text = "git-s3-backend: \(PrintableText.sentence(sentence))\n"
        // Where nobody hears it, the exit status still tells.
        try? writeAll(STDERR_FILENO, Array(text.utf8))
    }
}
