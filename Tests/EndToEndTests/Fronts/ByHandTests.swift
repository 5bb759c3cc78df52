import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct ByHandTests {
        @Test func documentedRequestsByHandWorkAsTheyStand() throws {
            let directory = try TemporaryDirectory()
            let script = "set -eu\n" + (try Documentation.block("# by hand", of: "WebServers"))
            let result = try Command(
                try Programs.find("bash", remedy: "apt install bash"), ["-c", script],
                environment: [
                    "PATH": "\(try Programs.buildDirectory()):/usr/bin:/bin",
                    "HOME": directory.path, "GIT_CONFIG_NOSYSTEM": "1",
                    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
                    "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org",
                ], directory: directory.path
            ).run().checked()
            let client = try GitClient()
            let tip = try client.git("-C", directory.path + "/work", "rev-parse", "main")
            #expect(!result.text.contains("Status: "), "\(result)")
            #expect(result.text.contains("000eunpack ok\n0017ok refs/heads/main\n0000"))
            #expect(result.text.contains("\(tip) refs/heads/main\n"))
            let answer = text(try Files.read(directory.path + "/answer"))
            #expect(answer.contains("\r\n\r\n0008NAK\nPACK"), "\(answer)")
        }
    }
}
