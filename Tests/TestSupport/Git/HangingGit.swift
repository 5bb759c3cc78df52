import Glibc
import Posix

/// A `git` that runs the real one, except for one command, in which it hangs with a child.
package struct HangingGit: Sendable {
    private let directory: TemporaryDirectory

    /// - Parameters:
    ///   - command: the git command, such as `index-pack`.
    ///   - first: a shell script that the command runs before it hangs.
    package init(in command: String, after first: String = "") throws {
        directory = try TemporaryDirectory()
        let lines = """
            #!/bin/sh
            case " $* " in *' \(command) '*)
            \(first)
            sleep 600 &
            echo $$ $! >'\(directory.path)/pids'
            wait
            ;;
            esac
            exec \(try Programs.git()) "$@"

            """
        try Files.write(Array(lines.utf8), to: directory.path + "/git", mode: 0o755)
    }

    /// The search path on which it is found.
    package var searchPath: String { directory.path }

    /// Whether the command was run.
    package var hasHung: Bool { identifiers.count == 2 }

    /// Waits until git and its child have ended.
    package func waitForEnd() throws {
        guard hasHung else { throw TestFailure("git did not hang") }
        try wait(for: "git and its child to end") { !identifiers.contains(where: Self.isRunning) }
    }

    private var identifiers: [pid_t] {
        let bytes = (try? Files.read(directory.path + "/pids")) ?? []
        return String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
            .compactMap { pid_t($0) }
    }

    /// proc(5), stat: a zombie does not run.
    private static func isRunning(_ process: pid_t) -> Bool {
        guard let stat = try? Files.read("/proc/\(process)/stat") else { return false }
        return !String(decoding: stat, as: UTF8.self).contains(") Z ")
    }
}
