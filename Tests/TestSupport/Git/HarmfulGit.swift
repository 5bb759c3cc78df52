import Glibc
import Posix

/// A `git` that runs the real one and then, for chosen commands, does harm in the directory that it
/// ran in. It is the first on the `PATH` of a program; what git runs itself is the real one.
package struct HarmfulGit: Sendable {
    private let directory: TemporaryDirectory

    /// - Parameters:
    ///   - commands: the git commands after which harm is done, such as `for-each-ref`. It may be
    ///     done again.
    ///   - harm: a shell script.
    package init(after commands: [String], _ harm: String) throws {
        directory = try TemporaryDirectory()
        let words = commands.map { "*' \($0) '*" }.joined(separator: "|")
        let script = directory.path + "/git"
        let lines = """
            #!/bin/sh
            \(try Programs.git()) "$@"
            code=$?
            [ -e '\(switchPath)' ] || exit $code
            case " $* " in
            \(words))
            \(harm)
            ;;
            esac
            exit $code

            """
        try Files.write(Array(lines.utf8), to: script, mode: 0o755)
    }

    /// Harm is done only while this file exists.
    private var switchPath: String { directory.path + "/on" }

    /// Begins to do harm.
    package func begin() throws { try directory.file("on", "") }

    /// Ends it.
    package func end() { unlink(switchPath) }

    /// `PATH` for the program.
    package var searchPath: String { "\(directory.path):/usr/bin:/bin" }
}
