import ArgumentParser
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

    /// Writes a sentence to standard error.
    static func say(_ sentence: String) {
        // Where nobody hears it, the exit status still tells.
        try? writeAll(STDERR_FILENO, Array("git-s3-backend: \(sentence)\n".utf8))
    }
}
