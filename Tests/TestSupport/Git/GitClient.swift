import Posix

/// The real git, in a clean environment of its own: nothing of this machine's configuration, no
/// prompts, the same author and dates each time.
package final class GitClient: Sendable {
    private let path: String
    private let home: TemporaryDirectory

    package init() throws {
        path = try Programs.git()
        home = try TemporaryDirectory()
        try home.file(
            ".gitconfig",
            """
            [user]
            \tname = Test
            \temail = test@example.org
            [init]
            \tdefaultBranch = main
            [advice]
            \tdetachedHead = false
            [gc]
            \tauto = 0
            [maintenance]
            \tauto = false
            [core]
            \tfsync = none

            """)
    }

    /// Runs git to its end, whatever that is.
    package func run(
        _ arguments: [String], in directory: String? = nil, environment: [String: String] = [:],
        input: Command.Input = .nothing, limit: Duration = .seconds(120)
    ) throws -> CommandResult {
        let clean = [
            "PATH": "/usr/bin:/bin", "HOME": home.path, "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000",
        ]
        return try Command(
            path, arguments, environment: clean.merging(environment) { $1 },
            directory: directory ?? home.path, input: input, limit: limit
        ).run()
    }

    /// Runs git, which must succeed; its output without the last line's end.
    @discardableResult
    package func git(
        _ arguments: String..., in directory: String? = nil,
        environment: [String: String] = [:], input: Command.Input = .nothing
    ) throws -> String {
        try run(
            arguments, in: directory, environment: environment, input: input
        ).checked().line
    }
}
