import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct CommandTests {
        /// A file store and a state directory of one's own.
        private struct Place {
            let directory: TemporaryDirectory
            var store: String { "file://\(directory.path)/store" }
            var options: [String] { ["--store", store, "--state-dir", directory.path + "/state"] }

            init() throws { directory = try TemporaryDirectory() }

            func run(
                _ arguments: [String], _ environment: [String: String] = [:]
            ) throws -> CommandResult {
                try CommandTests.run(arguments + options, environment)
            }
        }

        private static func run(
            _ arguments: [String], _ environment: [String: String] = [:]
        ) throws -> CommandResult {
            try Command(
                try Programs.responder(), arguments,
                environment: ["PATH": "/usr/bin:/bin", "HOME": "/nonexistent"]
                    .merging(environment) { $1 }
            ).run()
        }

        // MARK: Help

        @Test func helpIsThis() throws {
            let help = try Self.run(["--help"]).checked().text
            #expect(
                help == """
                    OVERVIEW: Serve git repositories out of an S3 bucket, behind a web server.

                    A FastCGI and CGI responder for git's smart HTTP protocol: what `git
                    http-backend` is to a directory, this is to a bucket. Alone, it serves. With
                    GATEWAY_INTERFACE set it answers one CGI request, whatever its arguments.

                    Every option can be given as a variable instead, GIT_S3_BACKEND_STORE for
                    --store and so on. S3 is configured as the AWS tools are: AWS_ACCESS_KEY_ID,
                    AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL_S3.

                    EXIT STATUS
                      0   done
                      1   it failed; standard error says why
                      64  the command line cannot be understood

                    USAGE: git-s3-backend <subcommand>

                    OPTIONS:
                      --version               Show the version.
                      -h, --help              Show help information.

                    SUBCOMMANDS:
                      serve (default)         Serve FastCGI on a socket.
                      create                  Create an empty repository.
                      show                    Show the published state of a repository.
                      probe                   Find out whether a store can be relied on.

                      See 'git-s3-backend help <subcommand>' for detailed help.

                    """)
        }

        @Test func helpOfServeIsThis() throws {
            let help = try Self.run(["serve", "--help"]).checked().text
            #expect(
                help == """
                    OVERVIEW: Serve FastCGI on a socket.

                    USAGE: git-s3-backend serve [--store <store>] [--state-dir <state-dir>] \
                    [--listen <listen>] [--listen-anywhere] [--workers <workers>] \
                    [--max-git <max-git>] [--max-body <max-body>] [--git-timeout <git-timeout>] \
                    [--push-attempts <push-attempts>] [--push-keepalive <push-keepalive>] \
                    [--create-on-push]

                    OPTIONS:
                      --store <store>         The store: file:///path, or s3://bucket/prefix.
                      --state-dir <state-dir> The directory for workspaces and the admission record.
                            By default $STATE_DIRECTORY, $XDG_CACHE_HOME/git-s3-backend, or a
                            directory of this user under /var/tmp.
                      --listen <listen>       Where to listen: unix:/path or host:port.
                            By default descriptor 0, if it is a listening socket.
                      --listen-anywhere       Let --listen name an address beyond loopback. FastCGI
                                              has no authentication.
                      --workers <workers>     Requests at once. (default: 64)
                      --max-git <max-git>     git processes at once. (default: 2 for each core)
                      --max-body <max-body>   Bytes that a request's body may have, as 512M; 0: no
                                              limit. (default: 0)
                      --git-timeout <git-timeout>
                                              How long git may take for one request. (default: 1h)
                      --push-attempts <push-attempts>
                                              How often a push is tried. (default: 20)
                            A push that another one came before is applied on top of it where the
                            two do not touch; 1: it is answered with 409 at once.
                      --push-keepalive <push-keepalive>
                                              After how long a push that is not done is kept alive;
                                              0: never. (default: 5s)
                      --create-on-push        Let a push create the repository that it names.
                      --version               Show the version.
                      -h, --help              Show help information.


                    """)
        }

        // MARK: What cannot be understood

        @Test func badOptionsAndVariablesAreNamedWithStatus64() throws {
            let place = try Place()
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
                    ["serve", "--listen", socket], ["GIT_S3_BACKEND_LOG_LEVEL": "loud"],
                    "GIT_S3_BACKEND_LOG_LEVEL is 'loud'; give debug, info, notice, warning or error."
                ),
                (["create", "team"], [:], "The value 'team' is invalid for '<repository>'"),
                (["create", "../x"], [:], "The value '../x' is invalid for '<repository>'"),
                (["create", "a/b.git"], [:], "The value 'a/b.git' is invalid for '<repository>'"),
                (["create", "a/b/c"], [:], "The value 'a/b/c' is invalid for '<repository>'"),
                (["create"], [:], "Missing expected argument '<repository>'"),
                (
                    ["create", "a/b", "--default-branch", "a b"], [:],
                    "--default-branch is 'a b', which is no branch name; give one like main."
                ),
                (
                    ["create", "a/b", "--object-format", "md5"], [:],
                    "The value 'md5' is invalid for '--object-format <object-format>'"
                ),
                (["show", "x"], [:], "The value 'x' is invalid for '<repository>'"),
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
                for command in [["create", "a/b"], ["show", "a/b"], ["probe"]] {
                    let result = try Self.run(command + arguments, environment)
                    #expect(result.ending == .exited(64), "\(result)")
                    #expect(result.errors.hasPrefix("Error: \(words)"), "\(result)")
                }
            }
        }

        @Test func whatFailsIsOneSentenceWithStatus1() throws {
            let place = try Place()
            let file = try place.directory.file("file", "")
            for (arguments, environment, words) in [
                (["show", "a/none"], [:], "There is no repository 'a/none' in 'file://"),
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
                let result = try Self.run(
                    [arguments[0]] + place.options + arguments.dropFirst(), environment)
                #expect(result.ending == .exited(1), "\(result)")
                #expect(result.errors.contains("git-s3-backend: \(words)"), "\(result)")
            }
        }

        // MARK: create and show

        @Test(arguments: stores)
        func createMayBeRepeatedButNotOtherwise(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let name = "team/created-\(randomHex(bytes: 4))"
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
            let name = "team/raced-\(randomHex(bytes: 4))"
            let results = try concurrently(10) { _ in try site.command("create", [name]) }
            #expect(results.allSatisfy { $0.succeeded })
            // They all make the same one: who lost to an equal finds its own.
            #expect(results.contains { $0.text.hasPrefix("Created") })
            let made = try site.bucket.listing().filter { $0.contains(name) }
            #expect(made.count == 1)
        }

        // MARK: probe

        @Test func probeAdmitsAFileStoreAndSeaweedFS() throws {
            let place = try Place()
            #expect(
                try place.run(["probe"]).checked().text
                    == "'\(place.store)' conforms: width 32, rounds 3, transportDrops 0, "
                    + "ETags quoted\n")
            let bucket = try StoreUnderTest.seaweed.makeBucket()
            let result = try Self.run(
                ["probe", "--width", "3", "--rounds", "1", "--store", bucket.url()],
                bucket.environment
            ).checked()
            #expect(
                result.text.hasSuffix(
                    "conforms: width 3, rounds 1, transportDrops 0, ETags quoted\n"))
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
                let result = try Self.run(command + options, bucket.environment)
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
                let result = try Self.run(
                    command + ["--store", bucket.url(through: proxy), "--state-dir", state.path],
                    environment)
                #expect(result.ending == .exited(1), "\(result)")
                for name in ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
                    let secret = try #require(environment[name])
                    #expect(!(result.text + result.errors).contains(secret), "\(name)")
                }
            }
        }

        // MARK: Where to listen

        @Test func addressesBeyondLoopbackNeedAWord() throws {
            let place = try Place()
            for host in [
                "0.0.0.0", "[::]", "192.0.2.1", "127.0.0.1.example.org", "example.org", "*",
            ] {
                let result = try place.run(["serve", "--listen", "\(host):9000"])
                #expect(result.ending == .exited(64), "\(result)")
                #expect(
                    result.errors.contains(
                        "'\(host)' is reachable from other machines, and FastCGI has no "
                            + "authentication"), "\(result)")
            }
        }

        /// Starts the program with a socket as descriptor 0, or another input.
        private func start(
            _ arguments: [String], _ place: Place, input: Int32,
            _ environment: [String: String] = [:]
        ) throws -> ChildProcess {
            let output = try OwnedDescriptor.open(
                place.directory.path + "/log", O_WRONLY | O_CREAT | O_APPEND)
            let variables = [
                "PATH": "/usr/bin:/bin", "GIT_S3_BACKEND_STORE": place.store,
                "GIT_S3_BACKEND_STATE_DIR": place.directory.path + "/state",
            ].merging(environment) { $1 }
            return try ChildProcess(
                ChildProcess.Launch(
                    path: try Programs.responder(), arguments: arguments,
                    environment: variables.map { "\($0.key)=\($0.value)" }, directory: "/",
                    input: input, output: output.raw, error: output.raw))
        }

        private func refs(
            on socket: consuming OwnedDescriptor, _ repository: String
        ) throws -> HTTPMessage {
            try FastCGI.request(
                on: socket,
                [
                    "REQUEST_METHOD": "GET", "PATH_INFO": "/\(repository).git/info/refs",
                    "QUERY_STRING": "service=git-upload-pack",
                ])
        }

        @Test func inheritedSocketIsServedWithoutAnyOption() throws {
            let place = try Place()
            try place.run(["create", "a/b"]).checked()
            let listener = try Sockets.listen()
            let port = try Sockets.port(of: listener)
            // A web server that starts responders may set this; the socket decides.
            let child = try start([], place, input: listener.raw, ["GATEWAY_INTERFACE": "CGI/1.1"])
            let answer = try refs(on: try Sockets.connect(port: port), "a/b")
            #expect(answer.status == 200, "\(answer.text)")
            #expect(
                try refs(on: try Sockets.connect(port: port), "a/none").status == 404)
            kill(child.identifier, SIGTERM)
            #expect(try child.wait() == .exited(0))
            // The socket is its owner's: whoever comes next serves what waits on it.
            let next = try start(["serve"], place, input: listener.raw)
            #expect(try refs(on: try Sockets.connect(port: port), "a/b").status == 200)
            kill(next.identifier, SIGTERM)
            #expect(try next.wait() == .exited(0))
        }

        @Test func portOfLoopbackIsServedAndAStrangerMayNotPush() throws {
            let place = try Place()
            try place.run(["create", "a/b"]).checked()
            let port = try Sockets.freePort()
            let null = try OwnedDescriptor.open("/dev/null", O_RDONLY)
            let child = try start(
                ["serve", "--listen", "127.0.0.1:\(port)"], place, input: null.raw)
            try wait(for: "the port to be served") { (try? Sockets.connect(port: port)) != nil }
            #expect(try refs(on: try Sockets.connect(port: port), "a/b").status == 200)
            for user in [[:], ["REMOTE_USER": ""], ["HTTP_AUTHORIZATION": "Basic YWxpY2U6"]] {
                let push = try FastCGI.request(
                    on: try Sockets.connect(port: port),
                    [
                        "REQUEST_METHOD": "POST", "PATH_INFO": "/a/b/git-receive-pack",
                        "CONTENT_TYPE": "application/x-git-receive-pack-request",
                        "CONTENT_LENGTH": "4",
                    ].merging(user) { $1 }, body: PktLines.flush)
                #expect(push.status == 403, "\(push.text)")
            }
            kill(child.identifier, SIGTERM)
            #expect(try child.wait() == .exited(0))
        }
    }
}
