package import Glibc
import Posix

/// A copy of the program, with a hook beside it that a test may spoil.
package struct ProgramCopy: Sendable {
    package let program: String
    package let hook: String
    private let directory: TemporaryDirectory

    /// Copies both; a second copy of the hook is `<hook>.built`.
    package init() throws {
        directory = try TemporaryDirectory()
        program = directory.path + "/git-s3-backend"
        hook = program + "-hook"
        let built = try Programs.server()
        let copy = try Programs.find("cp", remedy: "apt install coreutils")
        for (source, target) in [
            (built, program), (built + "-hook", hook), (built + "-hook", hook + ".built"),
        ] {
            try Command(copy, [source, target]).run().checked()
        }
    }

    /// Puts a shell script in the hook's place.
    package func replaceHook(by script: String) throws {
        try Files.write(Array("#!/bin/sh\n\(script)\n".utf8), to: hook)
        try allowHook(0o755)
    }

    /// Lets the user that a web server runs it as reach it.
    package func open() throws {
        try Account.open(directory.path)
        if chmod(directory.path, 0o755) != 0 { throw SystemError("chmod", directory.path) }
    }

    /// Sets the hook's permissions.
    package func allowHook(_ mode: mode_t) throws {
        if chmod(hook, mode) != 0 { throw SystemError("chmod", hook) }
    }
}
