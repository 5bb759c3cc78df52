import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// The subjects of git's t5541 and t5545.
    @Suite struct PushMatrixTests {
        @Test(arguments: fronts) func refusalsReadAsByGit(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.publish()
                let tree = try session.clone(repository, "-q")
                let other = try session.clone(repository, "-q")
                try other.commit("theirs", "theirs")
                try other.git("push", "-q", "origin", "main")
                let served = try other.git("ls-remote", "origin")

                try tree.commit("ours", "ours")
                try tree.git("branch", "fine", "main~1")
                let lease = try tree.git("rev-parse", "main~1")
                for arguments in [
                    ["origin", "main"], ["origin", "main", "fine:refs/tags/v1"],
                    ["--force-with-lease", "origin", "main"],
                    ["--force-with-lease=main:\(lease)", "origin", "main"],
                    ["--force-with-lease=topic:\(lease)", "origin", ":topic"],
                    ["--atomic", "origin", "main", "fine"],
                    ["--atomic", "--porcelain", "origin", "main", "fine"],
                    ["origin", "fine:refs/heads/topic/below"],
                    ["--atomic", "origin", "fine", "fine:refs/heads/topic/below"],
                    ["--porcelain", "origin", "fine:main/below"],
                    ["origin", ":main"], ["origin", "main:main"], ["origin", "none"],
                    ["origin", "v1^{tree}:refs/heads/tree"], ["origin", "fine:refs/heads/a..b"],
                    ["--follow-tags", "origin", "main"], ["origin", "fine:refs/tags/light"],
                ] {
                    let run = try tree.client.traced(["push"] + arguments, in: tree.path)
                    #expect(!run.succeeded, "\(run)")
                    session.note(run, ["push"] + arguments, tree)
                }
                #expect(try other.git("ls-remote", "origin") == served)
            }
        }

        @Test(arguments: fronts) func everyKindOfPushEndsAsByGit(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.publish()
                let tree = try session.clone(repository, "-q", "--mirror")
                try tree.git("config", "--unset", "remote.origin.mirror")
                let tip = try tree.git("rev-parse", "main")
                try tree.git("branch", "grün", "main~1")
                try tree.git("tag", "-a", "-m", "n", "new", "main~2")
                try tree.git("notes", "add", "-m", "a note", "main")
                for arguments in [
                    ["origin", "main"], ["origin", "grün"], ["origin", "new"],
                    ["origin", "refs/notes/*"], ["--porcelain", "origin", "main~1:refs/x/y"],
                    ["--force-with-lease=grün:\(tip)", "--dry-run", "origin", "+main~3:grün"],
                    ["--force-with-lease", "origin", "+main~3:grün"],
                    ["origin", "main^{tree}:refs/tags/tree", "main:big:refs/tags/none"],
                    ["--delete", "origin", "topic"], ["origin", ":refs/heads/not-there"],
                    ["origin", ":refs/x/y", "main:refs/heads/a/b"],
                    // A directory replaces a branch, in two pushes.
                    ["origin", ":refs/heads/a/b"], ["origin", "main:refs/heads/a"],
                    ["--all", "origin"], ["--tags", "origin"], ["--follow-tags", "origin", "main"],
                    ["--prune", "origin", "refs/heads/*:refs/heads/*"], ["--mirror", "origin"],
                    ["--atomic", "origin", "main:refs/heads/one", "main~1:refs/heads/two"],
                    ["--no-thin", "origin", "main:three"],
                    ["--verify", "origin", "main:refs/heads/4"],
                ] {
                    let run = try tree.client.traced(["push"] + arguments, in: tree.path)
                    session.note(run, ["push"] + arguments, tree)
                    session.note("refs", try tree.git("ls-remote", "origin"))
                }
                let copy = try session.clone(repository, "-q", "--mirror")
                let fsck = try copy.attempt("fsck", "--full", "--strict", "--no-dangling")
                #expect(fsck.succeeded, "\(fsck)")
                #expect(try copy.git("cat-file", "-t", "refs/tags/tree") == "tree")
                #expect(try copy.git("show-ref", "--verify", "refs/heads/two").hasSuffix("two"))
            }
        }

        @Test(arguments: fronts) func firstPushOfAllBringsAnEmptyRepositoryToLife(front: Front)
            throws
        {
            for option in ["--all", "--mirror"] {
                try sameAsGit(front, option) { session in
                    let repository = try session.host.create()
                    let source = try History.shared.get().tree
                    let run = try source.traced("push", option, session.host.url(repository))
                    session.note(run, ["push", option], source)
                    #expect(run.succeeded, "\(run)")
                    let copy = try session.clone(repository, "--mirror", "-q")
                    session.note("refs", try copy.git("for-each-ref"))
                    #expect(try copy.git("symbolic-ref", "HEAD") == "refs/heads/main")
                }
            }
        }

        /// receive-pack has no version 2, and the client requests none.
        @Test(arguments: fronts, 0...2)
        func versionsArePushedByAsByGit(front: Front, version: Int) throws {
            try sameAsGit(front, "\(version)") { session in
                let repository = try session.publish()
                let tree = try session.clone(repository, "-q")
                try tree.git("config", "protocol.version", "\(version)")
                try tree.commit("new", "new")
                let push = try session.git(tree, "push", "origin", "main")
                #expect(push.sentHeaders.contains("Git-Protocol: version=2") == false)
                #expect(
                    push.sentHeaders.contains("Git-Protocol: version=1") == (version == 1))
                session.note(
                    "the server's greeting", push.packets.filter { $0.contains("< version") })
            }
        }

        @Test(arguments: fronts, ["4096", "104857600"])
        func largePushComesInChunksOrWithItsLength(front: Front, buffer: String) throws {
            try sameAsGit(front, buffer) { session in
                let repository = try session.publish()
                let tree = try session.clone(repository, "-q")
                var random: UInt64 = 1
                let bytes = (0..<300_000).map { _ in
                    random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    return UInt8(truncatingIfNeeded: random >> 56)
                }
                try tree.commit("random", bytes: bytes)
                let push = try session.git(
                    tree, "-c", "http.postBuffer=\(buffer)", "push", "origin", "main")
                let isChunked = push.sentHeaders.contains("Transfer-Encoding: chunked")
                #expect(isChunked == (buffer == "4096"), "\(push)")
                let copy = try session.clone(repository, "-q")
                let blob = try copy.client.run(["cat-file", "blob", "HEAD:random"], in: copy.path)
                #expect(blob.output == bytes)
            }
        }

        /// A push may omit the base of a delta if the server has it; the published pack is complete
        /// nevertheless.
        @Test(arguments: fronts) func thinPushIsPublishedWhole(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.publish()
                let tree = try session.clone(repository, "-q")
                let big = try tree.git("show", "HEAD:big")
                try tree.commit("big", big + "\none line more")
                try session.git(tree, "push", "--thin", "origin", "main")
                let copy = try session.clone(repository, "-q")
                #expect(try copy.git("show", "HEAD:big") == big + "\none line more")
                let fsck = try copy.attempt("fsck", "--full", "--strict", "--no-dangling")
                #expect(fsck.succeeded, "\(fsck)")
            }
        }

        @Test(arguments: fronts) func optionsReachTheHookAsTheyWereGiven(front: Front) throws {
            let copy = try ProgramCopy()
            let directory = try TemporaryDirectory()
            // The wrapper sees the environment of a pre-receive hook, and then runs the hook
            // itself.
            try copy.replaceHook(
                by: """
                    env | grep '^GIT_PUSH_OPTION_' | sort >'\(directory.path)/options'
                    exec '\(copy.hook).built' "$@"
                    """)
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.program = copy.program
            let site = try front.makeSite(setup)
            let (_, tree) = try seeded(site)
            func options() throws -> [String] {
                text(try Files.read(directory.path + "/options"))
                    .split(separator: "\n").map(String.init)
            }
            #expect(try options() == ["GIT_PUSH_OPTION_COUNT=0"])

            try tree.commit("a")
            try tree.git("push", "-q", "-o", "ci.skip", "-o", "a=\"b c'é$(x)", "origin", "main")
            #expect(
                try options() == [
                    "GIT_PUSH_OPTION_0=ci.skip", "GIT_PUSH_OPTION_1=a=\"b c'é$(x)",
                    "GIT_PUSH_OPTION_COUNT=2",
                ])
            try tree.git("config", "push.pushOption", "by default")
            try tree.commit("b")
            try tree.git("push", "-q", "origin", "main")
            #expect(try options().first == "GIT_PUSH_OPTION_0=by default")
            try tree.commit("c")
            let many = (0..<400).flatMap { ["-o", "option-\($0)"] }
            let push = try tree.client.run(
                ["push", "-q"] + many + ["origin", "main"], in: tree.path)
            #expect(push.succeeded, "\(push)")
            #expect(try options().count == 401)
            try tree.git("push", "-q", "--atomic", "-o", "x", "origin", "main:a", "main:b")
            #expect(try options().contains("GIT_PUSH_OPTION_0=x"))
            // An option that is not a single line cannot be sent.
            #expect(try !tree.attempt("push", "-o", "a\nb", "origin", "main:c").succeeded)
        }

        /// The user name from the web server need not be a name that git would accept for an
        /// author.
        @Test func whateverTheNameOfAUserThePushIsTaken() throws {
            let site = try Site.shared(.file)
            var setup = site.setup
            setup.state = try TemporaryDirectory()
            let cgi = try CGIRun(setup)
            let (repository, tree) = try seeded(site)
            let names = [
                ".", "<>", "a b", "ü", "x@y.example", "DOMAIN\\user", "\"'$(x);`y`", "-o", "a\tb",
                "CN=A B,O=C/emailAddress=a@b", String(repeating: "n", count: 4000),
            ]
            for name in names {
                let old = try tree.git("rev-parse", "HEAD")
                let new = try tree.commit("by", name)
                let answer = try cgi.request(
                    "POST", "/\(repository).git/git-receive-pack",
                    variables: [
                        "CONTENT_TYPE": "application/x-git-receive-pack-request",
                        "REMOTE_USER": name,
                    ],
                    body: PushBody(
                        [.init(old: old, new: new, "refs/heads/main")],
                        capabilities: "report-status", pack: try tree.pack([new, "^\(old)"])
                    ).bytes)
                #expect(answer.text.contains("ok refs/heads/main"), "\(name): \(answer.text)")
            }
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: fronts) func brokenObjectsAreRefusedInGitsWords(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.publish()
                let tree = try session.clone(repository, "-q")
                func commit(_ message: String) throws -> String {
                    let text = """
                        tree \(try tree.git("rev-parse", "main^{tree}"))
                        author \(message)
                        committer Test <test@example.org> 1700000000 +0000

                        broken

                        """
                    return try tree.git(
                        "hash-object", "-t", "commit", "-w", "--stdin", "--literally",
                        input: .bytes(Array(text.utf8)))
                }
                for author in ["nobody", "A <a@b> 99999999999999999999 +0000"] {
                    let broken = try commit(author)
                    let run = try session.attempt(
                        tree, "push", "origin", "\(broken):refs/heads/broken", "main:refs/heads/x")
                    #expect(run.errors.contains("unpacker error"), "\(run)")
                }
                session.note("refs", try tree.git("ls-remote", "origin"))
            }
        }

        @Test(arguments: fronts) func signedPushIsRefusedByTheClientUnlessItMayDoWithout(
            front: Front
        ) throws {
            try sameAsGit(front) { session in
                let repository = try session.publish()
                let tree = try session.clone(repository, "-q")
                try tree.commit("new", "new")
                let signed = try session.attempt(tree, "push", "--signed", "origin", "main")
                #expect(!signed.succeeded)
                #expect(
                    signed.errors.contains("the receiving end does not support --signed push"))
                try session.git(tree, "push", "--signed=if-asked", "origin", "main")
            }
        }

        @Test(arguments: fronts) func twoThousandTagsArePushedAndFetched(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.publish()
                let tree = try session.clone(repository, "-q")
                let tags = (1...2000).map { number in
                    """
                    tag many-\(number)
                    from refs/heads/main^0
                    tagger Test <test@example.org> \(History.time(1) + number) +0000
                    data 0

                    """
                }
                try tree.git("fast-import", "--quiet", input: .bytes(Array(tags.joined().utf8)))
                let push = try tree.traced("push", "-q", "--tags", "origin")
                #expect(push.succeeded)
                session.note("push", session.requests(push))
                // The wants exceed the client's buffer.
                for version in [0, 2] {
                    let (copy, clone) = try WorkTree.tracedClone(
                        session.host.url(repository),
                        [
                            "-q", "--bare", "-c", "protocol.version=\(version)", "-c",
                            "http.postBuffer=70000",
                        ])
                    #expect(clone.succeeded)
                    #expect(clone.sentHeaders.contains("Transfer-Encoding: chunked"))
                    session.note("clone", session.requests(clone))
                    let tags = try copy.git("tag", "--list", "many-*").split(separator: "\n")
                    #expect(tags.count == 2000)
                }
            }
        }
    }
}
