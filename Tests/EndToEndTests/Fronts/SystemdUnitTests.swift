import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// The shipped units, and the documented ways of running the program under systemd.
    @Suite struct SystemdUnitTests {
        /// The shipped unit and socket, with a program that exists, in a separate directory.
        private func units() throws -> TemporaryDirectory {
            let directory = try TemporaryDirectory()
            for name in ["git-s3-backend.service", "git-s3-backend.socket"] {
                let text = try Documentation.file("nginx/\(name)")
                try directory.file(
                    name,
                    text.replacing(
                        "/usr/local/libexec/git-s3-backend/git-s3-backend",
                        with: try Programs.server()))
            }
            return directory
        }

        private func analyze(_ arguments: [String]) throws -> CommandResult {
            try Command(
                try Programs.find("systemd-analyze", remedy: "apt install systemd"), arguments,
                environment: ["PATH": "/usr/bin:/bin"]
            ).run()
        }

        // W5
        @Test func unitsAreValidAndHardened() throws {
            let directory = try units()
            let paths = ["service", "socket"].map { "\(directory.path)/git-s3-backend.\($0)" }
            let verified = try analyze(["verify", "--man=no"] + paths)
            #expect(verified.succeeded && verified.errors.isEmpty, "\(verified)")
            // A threshold of 20 is an exposure of 2.0 out of 10.
            let security = try analyze([
                "security", "--offline=yes", "--no-pager", "--threshold=20", paths[0],
            ])
            #expect(security.succeeded, "\(security)")
        }

        // W5: if the kernel kills one git for lack of memory, the others continue.
        @Test func serviceOutlivesAGitThatIsKilledForMemory() throws {
            let lines = try Documentation.file("nginx/git-s3-backend.service")
                .split(separator: "\n").map(String.init)
            for line in ["OOMPolicy=continue", "LimitCORE=0", "#MemoryHigh=75%", "#MemoryMax=90%"] {
                #expect(lines.contains(line), "\(line)")
            }
        }

        // W3
        @Test func socketIsTheWebServersAlone() throws {
            let lines = try Documentation.file("nginx/git-s3-backend.socket")
                .split(separator: "\n").map(String.init)
            for line in ["SocketUser=root", "SocketGroup=www-data", "SocketMode=0660"] {
                #expect(lines.contains(line), "\(line)")
            }
        }

        // W11: root does not read other users' repositories.
        @Test func documentedCommandsRunAsAUserOfTheirOwn() throws {
            let place = try AdminPlace()
            let runs = try documentedRuns()
            #expect(runs.count >= 3)
            for run in runs {
                let words = run.split(separator: " ").map(String.init)
                let arguments = try place.run(words).checked().text.split(separator: "\n")
                    .map(String.init)
                let properties = zip(arguments, arguments.dropFirst()).filter { $0.0 == "-p" }.map(
                    \.1)
                #expect(
                    properties.contains { $0 == "DynamicUser=yes" || $0.hasPrefix("User=") },
                    "\(run)")
                // systemd must know each property, and accept its value.
                let directory = try TemporaryDirectory()
                let unit = try directory.file(
                    "run.service",
                    "[Service]\nExecStart=/bin/true\n" + properties.joined(separator: "\n") + "\n")
                let verified = try analyze(["verify", "--man=no", unit])
                #expect(verified.succeeded && verified.errors.isEmpty, "\(run): \(verified)")
            }
        }

        /// The arguments of every `git-s3-backend-admin` in a shell block of the documentation. No
        /// block runs systemd-run directly.
        private func documentedRuns() throws -> [String] {
            let command = "    sudo git-s3-backend-admin "
            var runs: [String] = []
            for page in try Documentation.pages() {
                let lines = try Documentation.file(page).replacing("\\\n", with: " ")
                    .split(separator: "\n")
                #expect(!lines.contains { $0.contains("systemd-run -") }, "\(page)")
                for line in lines where line.hasPrefix(command) {
                    runs.append(String(line.dropFirst(command.count)))
                }
            }
            return runs
        }
    }
}
