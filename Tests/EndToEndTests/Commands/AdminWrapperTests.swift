import Glibc
import Posix
import TestSupport
import Testing

/// `git-s3-backend-admin` with a `systemd-run` that prints its arguments, one per line, copies its
/// standard input, and exits with 7 if the command is `fail`.
struct AdminPlace {
    let directory: TemporaryDirectory
    let script: String
    var program: String { "\(directory.path)/git-s3-backend" }
    var settings: String { "\(directory.path)/git-s3-backend.env" }
    var stubs: String { "\(directory.path)/bin" }

    init() throws {
        directory = try TemporaryDirectory()
        let text = try Documentation.file("nginx/git-s3-backend-admin")
        script = try directory.file(
            "git-s3-backend-admin",
            text.replacing(
                "/usr/local/libexec/git-s3-backend/git-s3-backend",
                with: "\(directory.path)/git-s3-backend"
            )
            .replacing(
                "=/etc/git-s3-backend.env", with: "=\(directory.path)/git-s3-backend.env"
            )
            .replacing("/run/systemd/system", with: try directory.directory("systemd")))
        _ = try directory.directory("bin")
        try directory.file("git-s3-backend.env", "")
        try executable("git-s3-backend", "exit 0")
        // Pretends that the user is root, and that a user named git exists.
        try executable(
            "bin/id", #"case "$*" in -u) echo 0 ;; "-u -- git") echo 7 ;; *) exit 1 ;; esac"#)
        try executable(
            "bin/systemd-run",
            #"printf '%s\n' "$@"; cat; [ "$(printf '%s\n' "$@" | tail -n 1)" != fail ] || exit 7"#)
    }

    func executable(_ name: String, _ text: String) throws {
        let path = try directory.file(name, "#!/bin/sh\n\(text)\n")
        try check("chmod", path) { chmod(path, 0o755) }
    }

    func run(
        _ arguments: [String], input: String = "", path: String? = nil
    ) throws -> CommandResult {
        try Command(
            "/bin/bash", [script] + arguments,
            environment: ["PATH": path ?? "\(stubs):/usr/bin:/bin"], directory: directory.path,
            input: .bytes(Array(input.utf8))
        ).run()
    }
}

extension EndToEnd {
    /// The wrapper that runs commands with the settings of the service.
    @Suite struct AdminWrapperTests {
        private let place: AdminPlace

        init() throws { place = try AdminPlace() }

        private func arguments(
            account: [String], properties: [String] = [], command: [String]
        ) -> [String] {
            ["--quiet", "--collect", "--wait", "--pty", "--pipe"] + account
                + [
                    "-p", "StateDirectoryMode=0700", "-p", "LimitCORE=0",
                    "-p", "EnvironmentFile=\(place.settings)",
                    "-p", "WorkingDirectory=-\(place.directory.path)",
                ] + properties + ["--", place.program] + command
        }

        private func lines(_ result: CommandResult) -> [String] {
            result.text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        }

        @Test func commandRunsAsADynamicUserByDefault() throws {
            let result = try place.run(["create", "acme/site", "--default-branch", "a b $HOME"])
            #expect(
                lines(try result.checked())
                    == arguments(
                        account: [
                            "-p", "DynamicUser=yes", "-p", "StateDirectory=git-s3-backend-admin",
                        ],
                        // systemd expands variables, and replaces two dollar signs by one.
                        command: ["create", "acme/site", "--default-branch", "a b $$HOME"]) + [""])
        }

        @Test(arguments: [["--user", "git"], ["--user=git"]])
        func optionsSetUserAndProperties(user: [String]) throws {
            let options = user + ["-p", "ProtectHome=yes", "--"]
            let result = try place.run(options + ["import", "--all", "/srv/git"])
            #expect(
                lines(try result.checked())
                    == arguments(
                        account: [
                            "-p", "User=git", "-p", "StateDirectory=git-s3-backend-admin-git",
                        ],
                        properties: ["-p", "ProtectHome=yes"],
                        command: ["import", "--all", "/srv/git"]) + [""])
        }

        @Test func standardInputAndExitStatusPassThrough() throws {
            let result = try place.run(["fail"], input: "what is typed")
            #expect(result.ending == .exited(7))
            #expect(result.text.hasSuffix("\nwhat is typed"))
        }

        @Test func usageErrorsExitWith64() throws {
            for (arguments, words) in [
                ([], "Missing command"), (["--user"], "Missing value for --user"),
                (["-p"], "Missing value for -p"), (["--nonsense"], "Unknown option '--nonsense'"),
            ] as [([String], String)] {
                let result = try place.run(arguments)
                #expect(result.ending == .exited(64), "\(result)")
                #expect(result.errors.hasPrefix("git-s3-backend-admin: \(words)"), "\(result)")
            }
            #expect(
                try place.run(["--help"]).checked().text.hasPrefix("usage: git-s3-backend-admin"))
        }

        @Test func missingPrerequisitesAreReported() throws {
            func expectFailure(_ words: String, _ arguments: [String] = ["list"]) throws {
                let result = try place.run(arguments)
                #expect(result.ending == .exited(1), "\(result)")
                #expect(result.errors.contains(words), "\(result)")
                #expect(result.text.isEmpty)
            }
            try expectFailure(
                "User 'nobody-here' does not exist.", ["--user", "nobody-here", "list"])
            Files.removeTree(place.settings)
            try expectFailure("'\(place.settings)' not found. Create it")
            Files.removeTree(place.program)
            try expectFailure("'\(place.program)' not found. Install git-s3-backend first")
            Files.removeTree("\(place.directory.path)/systemd")
            try expectFailure("systemd does not run on this machine.")
            try place.executable("bin/id", "echo 1000")
            try expectFailure("Only root can do this: sudo git-s3-backend-admin")

            try place.executable("bin/id", "echo 0")
            Files.removeTree("\(place.stubs)/systemd-run")
            let without = try place.run(["list"], path: place.stubs)
            #expect(without.ending == .exited(1))
            #expect(without.errors.contains("systemd-run not found. Install systemd."))
        }
    }
}
