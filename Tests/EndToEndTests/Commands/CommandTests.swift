import Bytes
import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct CommandTests {
        // MARK: Invalid options

        /// N6: every command's error about an invalid name.
        private static let rule =
            "A name is OWNER/REPO. Each part has 1 to 100 characters of A-Z, a-z, 0-9, '.', '_' "
            + "and '-', begins with a letter or a digit, and must not contain '..' or end in "
            + "'.git' or '.lock'."

        @Test func badOptionsAndVariablesAreNamedWithStatus64() throws {
            let place = try CommandPlace()
            let socket = "unix:\(place.directory.path)/socket"
            let cases: [([String], [String: String], String)] = [
                (
                    ["serve"], [:],
                    "No socket to listen on: descriptor 0 is not a listening socket. Add "
                        + "--listen unix:/path or --listen 127.0.0.1:9000."
                ),
                (
                    ["serve", "--listen", "x"], [:],
                    "Invalid value 'x' for --listen: expected unix:/path or host:port."
                ),
                (
                    ["serve", "--listen", ":9"], [:],
                    "Invalid value ':9' for --listen: expected unix:/path or host:port."
                ),
                (
                    ["serve", "--listen", "unix:x"], [:],
                    "Invalid value 'unix:x' for --listen: expected unix:/path or host:port."
                ),
                (
                    ["serve", "--listen", "127.0.0.1:99999"], [:],
                    "Invalid value '127.0.0.1:99999' for --listen: expected unix:/path or "
                        + "host:port."
                ),
                (
                    ["serve"], ["GIT_S3_BACKEND_LISTEN": "x"],
                    "Invalid value 'x' for GIT_S3_BACKEND_LISTEN: expected unix:/path or host:port."
                ),
                (
                    ["serve", "--listen", socket, "--workers", "0"], [:],
                    "Invalid value '0' for --workers: expected an integer from 1 to 10000."
                ),
                (
                    ["serve", "--listen", socket, "--max-git", "many"], [:],
                    "Invalid value 'many' for --max-git: expected an integer from 1 to 10000."
                ),
                (
                    ["serve", "--listen", socket, "--cache-size", "lots"], [:],
                    "Invalid value 'lots' for --cache-size: expected a size such as 1048576, "
                        + "512M or 10GiB."
                ),
                (
                    ["serve", "--listen", socket], ["GIT_S3_BACKEND_CACHE_SIZE": "-1"],
                    "Invalid value '-1' for GIT_S3_BACKEND_CACHE_SIZE: expected a size such as "
                        + "1048576, 512M or 10GiB."
                ),
                (
                    ["serve", "--listen", socket, "--max-body", "5X"], [:],
                    "Invalid value '5X' for --max-body: expected a size such as 1048576, 512M or "
                        + "10GiB."
                ),
                (
                    ["serve", "--listen", socket, "--max-body", "9999999999T"], [:],
                    "Invalid value '9999999999T' for --max-body: expected a size such as "
                        + "1048576, 512M or 10GiB."
                ),
                (
                    ["serve", "--listen", socket], ["GIT_S3_BACKEND_GIT_TIMEOUT": "soon"],
                    "Invalid value 'soon' for GIT_S3_BACKEND_GIT_TIMEOUT: expected a time such "
                        + "as 30, 500ms, 10m or 1h."
                ),
                (
                    ["serve", "--listen", socket, "--push-keepalive", "x"], [:],
                    "Invalid value 'x' for --push-keepalive: expected a time such as 30, 500ms, "
                        + "10m or 1h."
                ),
                (
                    ["serve", "--listen", socket, "--push-attempts", "0"], [:],
                    "Invalid value '0' for --push-attempts: expected an integer from 1 to 1000."
                ),
                (
                    ["serve", "--listen", socket, "--fsck", "loose"], [:],
                    "Invalid value 'loose' for --fsck: expected one of strict, warn, off."
                ),
                (
                    ["serve", "--listen", socket, "--fsck-accept", "bad-date"], [:],
                    "Invalid value 'bad-date' for --fsck-accept: expected words of letters and "
                        + "digits."
                ),
                (
                    ["serve", "--listen", socket], ["GIT_S3_BACKEND_COMPACT_AT": "-1"],
                    "Invalid value '-1' for GIT_S3_BACKEND_COMPACT_AT: expected an integer from "
                        + "0 to 1000000."
                ),
                (
                    ["serve", "--listen", socket], ["GIT_S3_BACKEND_LOG_LEVEL": "loud"],
                    "Invalid value 'loud' for GIT_S3_BACKEND_LOG_LEVEL: expected debug, info, "
                        + "notice, warning or error."
                ),
                (
                    ["create", "acme/.github"], [:],
                    "The value 'acme/.github' is invalid for '<repository>': \(Self.rule)"
                ),
                (
                    ["compact", "x"], [:],
                    "The value 'x' is invalid for '<repository>': \(Self.rule)"
                ),
                (
                    ["restore", "x"], [:],
                    "The value 'x' is invalid for '<repository>': \(Self.rule)"
                ),
                (
                    ["create", "team"], [:],
                    "The value 'team' is invalid for '<repository>': \(Self.rule)"
                ),
                (
                    ["create", "../x"], [:],
                    "The value '../x' is invalid for '<repository>': \(Self.rule)"
                ),
                (
                    ["create", "a/b.git"], [:],
                    "The value 'a/b.git' is invalid for '<repository>': \(Self.rule)"
                ),
                (
                    ["create", "a/b/c"], [:],
                    "The value 'a/b/c' is invalid for '<repository>': \(Self.rule)"
                ),
                (["create"], [:], "Missing expected argument '<repository>'"),
                (
                    ["create", "a/b", "--default-branch", "a b"], [:],
                    "Invalid value 'a b' for --default-branch: expected a branch name such as main."
                ),
                (
                    ["create", "a/b", "--object-format", "md5"], [:],
                    "The value 'md5' is invalid for '--object-format <object-format>'"
                ),
                (["show", "x"], [:], "The value 'x' is invalid for '<repository>': \(Self.rule)"),
                (
                    ["import", "d"], [:],
                    "Specify the name to publish it as, OWNER/REPO; or --all."
                ),
                (
                    ["import", "d", "a/b", "--all"], [:],
                    "With --all, specify only the directory: its subdirectories determine the "
                        + "names."
                ),
                (
                    ["import", "d", "--all", "--default-branch", "x"], [:],
                    "--default-branch cannot be combined with --all."
                ),
                (
                    ["import", "d", "x"], [:],
                    "The value 'x' is invalid for '<repository>': \(Self.rule)"
                ),
                (
                    ["import", "d", "a/b", "--default-branch", "a b"], [:],
                    "Invalid value 'a b' for --default-branch: expected a branch name such as main."
                ),
                (
                    ["import", "d", "a/b", "--accept", "x=ignore"], [:],
                    "Invalid value 'x=ignore' for --accept: expected a message ID of "
                        + "git-fsck(1), such as zeroPaddedFilemode."
                ),
                (
                    ["export", "a/b"], [:],
                    "Specify the repository, OWNER/REPO, and the directory; or --all."
                ),
                (
                    ["export", "x", "d"], [:],
                    "The value 'x' is invalid for '<repository>': \(Self.rule)"
                ),
                (["export", "--all", "a/b", "d"], [:], "With --all, specify only the directory."),
                (
                    ["delete", "--yes", "x"], [:],
                    "The value 'x' is invalid for '<repository>': \(Self.rule)"
                ),
                (
                    ["rename", "a/b", "x"], [:],
                    "The value 'x' is invalid for '<new-name>': \(Self.rule)"
                ),
                (["rename", "a/b"], [:], "Missing expected argument '<new-name>'"),
                (
                    ["restore", "a/b", "--manifest", "x"], [:],
                    "The value 'x' is invalid for '--manifest <manifest>'"
                ),
                (
                    ["probe", "--width", "1"], [:],
                    "Invalid value '1' for --width: expected an "
                        + "integer from 2 to 1000."
                ),
                (
                    ["probe", "--rounds", "0"], [:],
                    "Invalid value '0' for --rounds: expected an "
                        + "integer from 1 to 1000."
                ),
                (["serve", "--nonsense"], [:], "Unknown option '--nonsense'"),
                (["nonsense"], [:], "Unexpected argument 'nonsense'"),
            ]
            for (arguments, environment, sentence) in cases {
                let result = try place.run(arguments, environment)
                #expect(result.ending == .exited(64), "\(result)")
                #expect(result.errors.hasPrefix("Error: \(sentence)\n"), "\(result)")
                #expect(result.output.isEmpty)
            }
        }

        @Test func badStoresAreNamedWithStatus64() throws {
            for (arguments, environment, words) in [
                ([], [:], "No store specified. Add --store file:///path or --store s3://"),
                (
                    ["--store", "ftp://x"], [:],
                    "Invalid value 'ftp://x' for --store: expected "
                        + "file:///path or s3://"
                ),
                (
                    [], ["GIT_S3_BACKEND_STORE": "x"],
                    "Invalid value 'x' for GIT_S3_BACKEND_STORE: "
                        + "expected file:///"
                ),
                (["--store", "file://x"], [:], "'file://x' is not a valid file store"),
                (["--store", "s3://"], [:], "'' is not a valid bucket name"),
                (["--store", "s3://bucket"], [:], "No region specified"),
            ] as [([String], [String: String], String)] {
                for command in [
                    ["create", "a/b"], ["show", "a/b"], ["probe"], ["list"],
                    ["delete", "--yes", "a/b"], ["rename", "a/b", "a/c"], ["restore", "a/b"],
                ] {
                    let result = try CommandPlace.run(command + arguments, environment)
                    #expect(result.ending == .exited(64), "\(result)")
                    #expect(result.errors.hasPrefix("Error: \(words)"), "\(result)")
                }
            }
        }

        @Test func failureIsOneSentenceWithStatus1() throws {
            let place = try CommandPlace()
            let file = try place.directory.file("file", "")
            for (arguments, environment, words) in [
                (["show", "a/none"], [:], "Repository 'a/none' does not exist in 'file://"),
                (
                    ["delete", "--yes", "a/none"], [:],
                    "Repository 'a/none' does not exist in "
                        + "'file:"
                ),
                (
                    ["rename", "a/none", "a/x"], [:],
                    "Repository 'a/none' does not exist in "
                        + "'file://"
                ),
                (["rename", "a/none", "a/none"], [:], "'a/none' already has that name."),
                (["restore", "a/none"], [:], "Repository 'a/none' does not exist in 'file://"),
                (
                    ["restore", "a/none"], ["PATH": "/nonexistent"],
                    "git not found in PATH '/nonexistent'. Install git."
                ),
                (["serve", "--listen", "unix:/none/x"], [:], "bind '/none/x': No such file"),
                (["serve", "--listen", "unix:\(file)"], [:], "bind '\(file)': File exists"),
                (
                    ["serve", "--listen", "unix:/\(String(repeating: "x", count: 200))"], [:],
                    "bind '/x"
                ),
                (
                    ["serve", "--listen", "192.0.2.1:9", "--listen-anywhere"], [:],
                    "bind '192.0.2.1:9'"
                ),
                (
                    ["serve", "--listen", "unix:/none/x"], ["PATH": "/nonexistent"],
                    "git not found in PATH '/nonexistent'. Install git."
                ),
                (
                    ["create", "a/b", "--state-dir", file], [:],
                    "Could not record the probe result "
                        + "of"
                ),
            ] as [([String], [String: String], String)] {
                // If an option is repeated, the last one counts.
                let result = try CommandPlace.run(
                    [arguments[0]] + place.options + arguments.dropFirst(), environment)
                #expect(result.ending == .exited(1), "\(result)")
                #expect(result.errors.contains("git-s3-backend: \(words)"), "\(result)")
            }
        }

        // MARK: create and show

        @Test(arguments: stores)
        func createMayBeRepeatedButNotOtherwise(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let name = "team/created-\(Hex.random(bytes: 4))"
            func create(_ options: String...) throws -> CommandResult {
                try site.command("create", [name] + options)
            }
            #expect(
                try create("--default-branch", "trunk").checked().text == "Created '\(name)'.\n")
            let listing = try site.bucket.listing()
            for options in [[], ["--default-branch", "trunk"], ["--object-format", "sha1"]] {
                let again = try site.command("create", [name] + options).checked()
                #expect(again.text == "'\(name)' already exists.\n")
            }
            let branch = try create("--default-branch", "main")
            #expect(branch.ending == .exited(1))
            #expect(
                branch.errors
                    == "git-s3-backend: '\(name)' already exists, with HEAD on "
                    + "'refs/heads/trunk'.\n")
            let format = try create("--object-format", "sha256")
            #expect(format.ending == .exited(1))
            #expect(format.errors.contains("with object format 'sha1'."))
            #expect(try site.bucket.listing() == listing)
        }

        @Test func showTellsThePublishedState() throws {
            let site = try Site.shared(.file)
            let (repository, tree) = try seeded(site)
            try tree.git("tag", "-a", "-m", "x", "v1")
            try tree.git("push", "-q", "origin", "v1")
            let tip = try tree.git("rev-parse", "main")
            let tag = try tree.git("rev-parse", "v1")
            let shown = try site.command("show", [repository]).checked().text
            let packs = try site.bucket.packs(of: repository).map { "  packs/\($0)\n" }.joined()
            let digest = try site.bucket.pointer(of: repository)
            #expect(shown.hasPrefix("repository     \(repository)\nmanifest       \(digest)\n"))
            #expect(
                shown.hasSuffix(
                    """
                    head           refs/heads/main
                    object format  sha1
                    packs          2
                    \(packs)refs           2
                      \(tip) refs/heads/main
                      \(tag) refs/tags/v1 (peels to \(tip))

                    """), "\(shown)")
        }

        @Test func tenCreationsAtOnceMakeOneRepository() throws {
            let site = try Site.shared(.file)
            let name = "team/raced-\(Hex.random(bytes: 4))"
            let results = try concurrently(10) { _ in try site.command("create", [name]) }
            #expect(results.allSatisfy { $0.succeeded })
            // All of them create the same repository: one that loses the race finds its own state.
            #expect(results.contains { $0.text.hasPrefix("Created") })
            let made = try site.bucket.listing().filter { $0.contains(name) }
            #expect(made.count == 1)
        }
    }
}
