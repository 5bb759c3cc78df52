import Bytes
import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct CommandTests {
        // MARK: What cannot be understood

        /// N6: what every command says of a name that is none.
        private static let rule =
            "A name is OWNER/REPO; each of the two has 1 to 100 of the characters A-Z, a-z, 0-9, '.', "
            + "'_' and '-', begins with a letter or a digit, has no '..' and does not end in '.git' or "
            + "'.lock'."

        @Test func badOptionsAndVariablesAreNamedWithStatus64() throws {
            let place = try CommandPlace()
            let socket = "unix:\(place.directory.path)/socket"
            let cases: [([String], [String: String], String)] = [
                (
                    ["serve"], [:],
                    "There is nowhere to listen: descriptor 0 is no listening socket. Give --listen "
                        + "unix:/path or --listen 127.0.0.1:9000."
                ),
                (
                    ["serve", "--listen", "x"], [:],
                    "--listen is 'x'; give unix:/path or host:port."
                ),
                (
                    ["serve", "--listen", ":9"], [:],
                    "--listen is ':9'; give unix:/path or host:port."
                ),
                (
                    ["serve", "--listen", "unix:x"], [:],
                    "--listen is 'unix:x'; give unix:/path or host:port."
                ),
                (
                    ["serve", "--listen", "127.0.0.1:99999"], [:],
                    "--listen is '127.0.0.1:99999'; give unix:/path or host:port."
                ),
                (
                    ["serve"], ["GIT_S3_BACKEND_LISTEN": "x"],
                    "GIT_S3_BACKEND_LISTEN is 'x'; give unix:/path or host:port."
                ),
                (
                    ["serve", "--listen", socket, "--workers", "0"], [:],
                    "--workers is '0'; give a whole number from 1 to 10000."
                ),
                (
                    ["serve", "--listen", socket, "--max-git", "many"], [:],
                    "--max-git is 'many'; give a whole number from 1 to 10000."
                ),
                (
                    ["serve", "--listen", socket, "--cache-size", "lots"], [:],
                    "--cache-size is 'lots'; give bytes, as 1048576, 512M or 10GiB."
                ),
                (
                    ["serve", "--listen", socket], ["GIT_S3_BACKEND_CACHE_SIZE": "-1"],
                    "GIT_S3_BACKEND_CACHE_SIZE is '-1'; give bytes, as 1048576, 512M or 10GiB."
                ),
                (
                    ["serve", "--listen", socket, "--max-body", "5X"], [:],
                    "--max-body is '5X'; give bytes, as 1048576, 512M or 10GiB."
                ),
                (
                    ["serve", "--listen", socket, "--max-body", "9999999999T"], [:],
                    "--max-body is '9999999999T'; give bytes, as 1048576, 512M or 10GiB."
                ),
                (
                    ["serve", "--listen", socket], ["GIT_S3_BACKEND_GIT_TIMEOUT": "soon"],
                    "GIT_S3_BACKEND_GIT_TIMEOUT is 'soon'; give a time, as 30, 500ms, 10m or 1h."
                ),
                (
                    ["serve", "--listen", socket, "--push-keepalive", "x"], [:],
                    "--push-keepalive is 'x'; give a time, as 30, 500ms, 10m or 1h."
                ),
                (
                    ["serve", "--listen", socket, "--push-attempts", "0"], [:],
                    "--push-attempts is '0'; give a whole number from 1 to 1000."
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
                    "GIT_S3_BACKEND_COMPACT_AT is '-1'; give a whole number from 0 to 1000000."
                ),
                (
                    ["serve", "--listen", socket], ["GIT_S3_BACKEND_LOG_LEVEL": "loud"],
                    "GIT_S3_BACKEND_LOG_LEVEL is 'loud'; give debug, info, notice, warning or error."
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
                    "--default-branch is 'a b', which is no branch name; give one like main."
                ),
                (
                    ["create", "a/b", "--object-format", "md5"], [:],
                    "The value 'md5' is invalid for '--object-format <object-format>'"
                ),
                (["show", "x"], [:], "The value 'x' is invalid for '<repository>': \(Self.rule)"),
                (
                    ["import", "d"], [:],
                    "Name the repository to publish, OWNER/REPO, or give --all."
                ),
                (
                    ["import", "d", "a/b", "--all"], [:],
                    "With --all the names are those of the tree: give no repository."
                ),
                (
                    ["import", "d", "--all", "--default-branch", "x"], [:],
                    "--default-branch goes with one repository, not with --all."
                ),
                (
                    ["import", "d", "x"], [:],
                    "The value 'x' is invalid for '<repository>': \(Self.rule)"
                ),
                (
                    ["import", "d", "a/b", "--default-branch", "a b"], [:],
                    "--default-branch is 'a b', which is no branch name; give one like main."
                ),
                (
                    ["import", "d", "a/b", "--accept", "x=ignore"], [:],
                    "--accept is 'x=ignore'; give a message of git-fsck(1), as zeroPaddedFilemode."
                ),
                (
                    ["export", "a/b"], [:],
                    "Give the repository, OWNER/REPO, and the directory; or --all."
                ),
                (
                    ["export", "x", "d"], [:],
                    "The value 'x' is invalid for '<repository>': \(Self.rule)"
                ),
                (["export", "--all", "a/b", "d"], [:], "With --all give the directory alone."),
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
                (["probe", "--width", "1"], [:], "--width takes 2 to 1000."),
                (["probe", "--rounds", "0"], [:], "--rounds takes 1 to 1000."),
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
                ([], [:], "No store is named. Give --store file:///path or --store s3://"),
                (["--store", "ftp://x"], [:], "--store is 'ftp://x'; give file:///path or s3://"),
                ([], ["GIT_S3_BACKEND_STORE": "x"], "GIT_S3_BACKEND_STORE is 'x'; give file:///"),
                (["--store", "file://x"], [:], "'file://x' is not a file store"),
                (["--store", "s3://"], [:], "'' is no bucket's name"),
                (["--store", "s3://bucket"], [:], "No region is known"),
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

        @Test func whatFailsIsOneSentenceWithStatus1() throws {
            let place = try CommandPlace()
            let file = try place.directory.file("file", "")
            for (arguments, environment, words) in [
                (["show", "a/none"], [:], "There is no repository 'a/none' in 'file://"),
                (["delete", "--yes", "a/none"], [:], "There is no repository 'a/none' in 'file:"),
                (["rename", "a/none", "a/x"], [:], "There is no repository 'a/none' in 'file://"),
                (["rename", "a/none", "a/none"], [:], "'a/none' has that name already."),
                (["restore", "a/none"], [:], "There is no repository 'a/none' in 'file://"),
                (
                    ["restore", "a/none"], ["PATH": "/nonexistent"],
                    "There is no git on the path '/nonexistent'. Install git."
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
                    "There is no git on the path '/nonexistent'. Install git."
                ),
                (["create", "a/b", "--state-dir", file], [:], "Could not keep the admission of"),
            ] as [([String], [String: String], String)] {
                // Of an option given twice the last counts.
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
                #expect(again.text == "'\(name)' is there already.\n")
            }
            let branch = try create("--default-branch", "main")
            #expect(branch.ending == .exited(1))
            #expect(
                branch.errors
                    == "git-s3-backend: '\(name)' is there already, with HEAD on "
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
            // They all make the same one: who lost to an equal finds its own.
            #expect(results.contains { $0.text.hasPrefix("Created") })
            let made = try site.bucket.listing().filter { $0.contains(name) }
            #expect(made.count == 1)
        }

        // MARK: probe

        @Test func probeAdmitsAFileStoreAndSeaweedFS() throws {
            let place = try CommandPlace()
            #expect(
                try place.run(["probe"]).checked().text
                    == "'\(place.store)' conforms: width 32, rounds 3, transportDrops 0, "
                    + "ETags quoted, body checks: its own\n")
            let bucket = try StoreUnderTest.seaweed.makeBucket()
            let result = try CommandPlace.run(
                ["probe", "--width", "3", "--rounds", "1", "--store", bucket.url()],
                bucket.environment
            ).checked()
            let words =
                "conforms: width 3, rounds 1, transportDrops 0, ETags quoted, "
                + "body checks: x-amz-checksum-sha256, SHA-256 in HEAD, Content-MD5, MD5 ETag, "
                + "server: 'SeaweedFS"
            #expect(result.text.contains(words), "\(result)")
        }

        @Test func storeThatIgnoresConditionsIsRefusedByProbeServeAndCreate() throws {
            let bucket = try StoreUnderTest.seaweed.makeBucket()
            let proxy = try bucket.makeProxy()
            proxy.on("PUT", .probe, times: 100_000, .hideFailedCondition)
            let state = try TemporaryDirectory()
            let options = ["--store", bucket.url(through: proxy), "--state-dir", state.path]
            for command in [
                ["probe"], ["create", "a/b"],
                ["serve", "--listen", "unix:\(state.path)/socket"],
            ] {
                let result = try CommandPlace.run(command + options, bucket.environment)
                #expect(result.ending == .exited(1), "\(result)")
                #expect(result.errors.contains("is not admitted: sequential, round 1"), "\(result)")
            }
            #expect(try bucket.listing() == [])
            #expect(access("\(state.path)/socket", F_OK) != 0)
        }

        @Test func secretsAreInNoOutputAndNoLog() throws {
            let bucket = try StoreUnderTest.seaweed.makeBucket()
            let proxy = try bucket.makeProxy()
            for kind in [FaultProxy.StoredKind.probe, .pointer, .other] {
                for method in ["GET", "PUT", "HEAD", "DELETE"] {
                    proxy.on(method, kind, times: 1000, .answer(403, "SignatureDoesNotMatch"))
                }
            }
            let state = try TemporaryDirectory()
            var environment = bucket.environment
            environment["AWS_SESSION_TOKEN"] = "token-of-a-session"
            environment["GIT_S3_BACKEND_LOG_LEVEL"] = "debug"
            for command in [["probe"], ["create", "a/b"], ["show", "a/b"]] {
                let result = try CommandPlace.run(
                    command + ["--store", bucket.url(through: proxy), "--state-dir", state.path],
                    environment)
                #expect(result.ending == .exited(1), "\(result)")
                for name in ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
                    let secret = try #require(environment[name])
                    #expect(!(result.text + result.errors).contains(secret), "\(name)")
                }
            }
        }
    }
}
