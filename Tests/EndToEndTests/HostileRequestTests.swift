import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct HostileRequestTests {
        private static let site = Result { try Site(.file) }

        /// A repository with one commit, and a push onto it that would be accepted.
        private struct Ground {
            let site: Site
            let repository: String
            let tree: WorkTree
            let tip: String
            let next: String
            let pack: [UInt8]

            init() throws {
                site = try HostileRequestTests.site.get()
                (repository, tree) = try seeded(site)
                tip = try tree.git("rev-parse", "HEAD")
                next = try tree.commit("next")
                pack = try tree.pack([next, "^\(tip)"])
            }

            var goodPush: PushBody { push([.init(old: tip, new: next, "refs/heads/main")]) }

            func push(
                _ commands: [PushBody.Command], _ capabilities: String = "report-status",
                pack: [UInt8]? = nil
            ) -> PushBody {
                PushBody(commands, capabilities: capabilities, pack: pack ?? self.pack)
            }

            /// Expects that `body` changes nothing in the store, and leaves no workspace and no
            /// process behind.
            func expectUntouched(
                _ what: String, sourceLocation: SourceLocation = #_sourceLocation,
                _ body: () throws -> Void
            ) throws {
                let before = try site.bucket.listing()
                try body()
                let responder = site.responder
                try wait(for: "nothing to be left after \(what)") {
                    try responder.workspaces().isEmpty && responder.children().isEmpty
                }
                #expect(
                    try site.bucket.listing() == before, "\(what)", sourceLocation: sourceLocation)
                #expect(!responder.hasEnded, "\(what)", sourceLocation: sourceLocation)
            }

            /// Posts bytes as a push by `alice`.
            func post(_ bytes: [UInt8]) throws -> HTTPMessage {
                try site.http.send(
                    "POST", "/git/\(repository).git/git-receive-pack",
                    headers: [Site.authorization, HostileRequestTests.pushType],
                    body: .bytes(bytes))
            }

            /// Posts a push that must be answered with one of these statuses and change nothing.
            func expectRefused(
                _ what: String, _ bytes: [UInt8], _ statuses: [Int], says words: String? = nil,
                sourceLocation: SourceLocation = #_sourceLocation
            ) throws {
                try expectUntouched(what, sourceLocation: sourceLocation) {
                    let answer = try post(bytes)
                    #expect(
                        statuses.contains(answer.status), "\(what): \(answer.start) \(answer.text)",
                        sourceLocation: sourceLocation)
                    #expect(
                        !answer.text.contains("ok refs/"), "\(what): \(answer.text)",
                        sourceLocation: sourceLocation)
                    if let words {
                        #expect(
                            answer.text.contains(words), "\(what): \(answer.text)",
                            sourceLocation: sourceLocation)
                    }
                }
            }

            /// Posts a fetch that must be answered with 400, or with git's own error.
            func expectBadFetch(_ what: String, _ bytes: [UInt8], _ version: Int) throws {
                let answer = try site.http.send(
                    "POST", "/git/\(repository).git/git-upload-pack",
                    headers: [
                        HostileRequestTests.fetchType, ("Git-Protocol", "version=\(version)"),
                    ], body: .bytes(bytes))
                #expect(!answer.text.contains("PACK"), "\(what)")
                if answer.status == 400 { return }
                #expect(answer.status == 200, "\(what): \(answer.start) \(answer.text)")
                let isGits = answer.text.contains("ERR ")
                #expect(isGits || bytes.isEmpty, "\(what): \(answer.text.prefix(200))")
            }
        }

        private static let pushType = (
            name: "Content-Type", value: "application/x-git-receive-pack-request"
        )
        private static let fetchType = (
            name: "Content-Type", value: "application/x-git-upload-pack-request"
        )
        /// alice, and a password that is not hers.
        private static let wrongPassword = (
            name: "Authorization", value: "Basic YWxpY2U6bWFkaGF0dGVy"
        )

        // MARK: Who is who

        @Test func wrongPasswordIs401AndAGitPushWithItFails() throws {
            let ground = try Ground()
            let site = ground.site
            let path = "/git/\(ground.repository).git"
            let headers: [[(name: String, value: String)]] = [
                [], [Self.wrongPassword], [("Authorization", "Basic")],
                [("Authorization", "Basic YWxpY2U=")], [("Authorization", "Basic YWxpY2U6")],
                [("Authorization", "Bearer YWxpY2U6d29uZGVybGFuZA==")],
                [("Authorization", "Basic bWFsbG9yeTp3b25kZXJsYW5k")],
            ]
            try ground.expectUntouched("a push without the right password") {
                for header in headers {
                    let refs = try site.advertisement(
                        ground.repository, service: "git-receive-pack", headers: header)
                    #expect(refs.status == 401, "\(header): \(refs.start)")
                    #expect(refs.header("WWW-Authenticate")?.contains("Basic") == true)
                    let push = try site.http.send(
                        "POST", "\(path)/git-receive-pack", headers: header + [Self.pushType],
                        body: .bytes(ground.goodPush.bytes))
                    #expect(push.status == 401, "\(header): \(push.start)")
                }
                for user in ["alice", "mallory", ""] {
                    let url = site.url(ground.repository, user: user, password: "madhatter")
                    #expect(try !ground.tree.attempt("push", url, "main").succeeded)
                }
                let anonymous = site.anonymousURL(ground.repository)
                #expect(try !ground.tree.attempt("push", anonymous, "main").succeeded)
            }
        }

        @Test func anyAuthorizationHeaderIsIgnoredWhereNoPasswordIsAskedFor() throws {
            let ground = try Ground()
            let refs = try ground.site.advertisement(
                ground.repository, headers: [Self.wrongPassword])
            #expect(refs.status == 200)
            let fetch = try ground.site.fetch(
                ground.repository, [ground.tip], headers: [Self.wrongPassword])
            #expect(fetch.status == 200)
        }

        /// Each tries to get a push past nginx's condition, with a user's name and no password.
        private static let disguises = [
            "/git/NAME.git/git-receive-pack", "/git/NAME/git-receive-pack",
            "/git/NAME.git/%67it-receive-pack", "/git/NAME.git/git%2dreceive-pack",
            "/git/NAME.git/git%2Dreceive%2Dpack", "/git/NAME.git//git-receive-pack",
            "/git/NAME.git/./git-receive-pack", "/git/NAME.git/x/../git-receive-pack",
            "/git/NAME.git/git-upload-pack/../git-receive-pack",
            "/git/NAME.git/git-receive-pack?service=git-upload-pack",
            "/git/NAME.git/git-receive-pack?", "/git/NAME.git/git-receive-pack?/info/refs",
            "/git/NAME.git/git-receive-pack#x", "/git/NAME.git/git-receive-pack;x",
            "/git/NAME.git/git-receive-pack%3fx", "/git/NAME.git/git-receive-pack%20",
            "/git/NAME.git/git-receive-pack/", "/git/NAME.git/git-receive-pack%2f",
            "/git/NAME.git/git-receive-pack%0a", "/git/NAME.git/git-receive-pack%0d%0a",
            "/git/NAME.git/git-receive-pack%0aX", "/git/NAME.git/a%0a/git-receive-pack",
            "/git/NAME.git/git-receive-pack%00", "/git/NAME.git%2fgit-receive-pack",
            "/git/NAME.git/git-receive-pack%23", "/git/NAME.git/git-receive-pack%3f%0a",
            "/git/NAME.git/GIT-RECEIVE-PACK", "/git/NAME.git/git-receive-pack%5c",
            "//git/NAME.git/git-receive-pack", "/git//NAME.git/git-receive-pack",
            "/x/../git/NAME.git/git-receive-pack", "/%67it/NAME.git/git-receive-pack",
            "http://127.0.0.1/git/NAME.git/git-receive-pack",
            "http://alice@127.0.0.1/git/NAME.git/git-receive-pack",
            "/git/NAME.git/git-receive-pack\u{e9}", "/git/NAME.git/git-receive-pack%ff",
            "/git/NAME.git/info/refs/../../git-receive-pack",
            "/git/NAME.git/info/refs?service=git-receive-pack",
        ]

        @Test func pushInDisguiseIsRefusedAndChangesNothing() throws {
            let ground = try Ground()
            let named: [(name: String, value: String)] = [
                Self.wrongPassword, ("Remote-User", "alice"), ("Remote_User", "alice"),
                ("X-Remote-User", "alice"), ("X-HTTP-Method-Override", "POST"),
                ("Proxy", "alice"),
            ]
            try ground.expectUntouched("pushes in disguise") {
                for target in Self.disguises {
                    let target = target.replacing("NAME", with: ground.repository)
                    for method in ["POST", "GET", "PUT", "PATCH", "post"] {
                        let answer = try ground.site.http.send(
                            method, target, headers: named + [Self.pushType],
                            body: .bytes(ground.goodPush.bytes))
                        #expect(
                            [400, 401, 403, 404, 405].contains(answer.status),
                            "\(method) \(target): \(answer.start)")
                    }
                }
            }
            // The right password opens the plain form, and so the body was a good one.
            #expect(try ground.post(ground.goodPush.bytes).text.contains("ok refs/heads/main"))
        }

        @Test func queryCannotAskForTwoServices() throws {
            let ground = try Ground()
            let queries = [
                "service=git-upload-pack&service=git-receive-pack",
                "service=git-receive-pack&service=git-upload-pack",
                "service=git%2dreceive-pack", "service=git-receive-pack%00",
                "service=git-receive-pack%26", "%73ervice=git-receive-pack",
                "service=git-receive-pack;x", "service=GIT-RECEIVE-PACK", "service=",
                "service", "service=receive-pack", "service=git-upload-archive",
                "service=git-receive-pack%0a",
                "service=git-upload-pack&service=git-upload-pack", "",
                "service=git-upload-pack%20", "service=../git-upload-pack",
            ]
            for query in queries {
                for headers in [[Self.wrongPassword], [Site.authorization]] {
                    let answer = try ground.site.http.send(
                        "GET", "/git/\(ground.repository).git/info/refs?\(query)", headers: headers)
                    #expect([400, 401, 403].contains(answer.status), "\(query): \(answer.start)")
                }
            }
            let other = try ground.site.http.send(
                "GET",
                "/git/\(ground.repository).git/info/refs?a=1&service=git-receive-pack&b",
                headers: [Self.wrongPassword])
            #expect(other.status == 401)
        }

        // MARK: Names and paths

        /// In the place of OWNER/REPO.git.
        private static let names = [
            "team", "team/", "/r", "team/.git", ".git", "team/.git.git", "team/r.git.git",
            "team/r.lock", "team/r.lock.git", "team.git/r", "team.lock/r", "../team/r", "team/..",
            "team/../..", "team/r/..", "%2e%2e/r", "team/%2e%2e", "%2e%2e%2f%2e%2e%2fetc/passwd",
            "team/..%2fr", "team%2fr", "team%2fr.git", "team/r%2f", "team%00/r", "team/r%00",
            "team/r%00.git", "team//r", "//", "/", "team/r..x", "team/-r", "-/r", "team/.r", "_/r",
            "team/r%20", "team/r%0a", "team/r%0d%0aX-Injected:%201", "team/%ff", "team/%c0%ae",
            "team/\u{e9}", "team/%c3%a9", "team\\r", "team%5cr", "team/r%5c..", "team/r:x",
            "team/r?x", "team/r%3fx", "team/r;x", "team/r*", "team/r~", "team/$(id)", "team/`id`",
            "team/r%252e", "sub/team/r", "team/r/pointer", "repos/team/r", "packs/x", "manifests/x",
            "team/%E2%84%AA", "C:/r", "team/r%7f", "team/" + String(repeating: "a", count: 101),
            String(repeating: "a", count: 101) + "/r",
            "team/" + String(repeating: "a", count: 3000),
            String(repeating: "a/", count: 1000), "team/no-such-repository", "other/r",
        ]

        @Test func namesThatAreNoneAreNotFoundOnEveryRoute() throws {
            let ground = try Ground()
            let site = ground.site
            try ground.expectUntouched("bad names") {
                for name in Self.names {
                    let answers = [
                        try site.http.send(
                            "GET", "/git/\(name)/info/refs?service=git-upload-pack"),
                        try site.http.send(
                            "GET", "/git/\(name)/info/refs?service=git-receive-pack",
                            headers: [Site.authorization]),
                        try site.http.send(
                            "POST", "/git/\(name)/git-upload-pack", headers: [Self.fetchType],
                            body: .bytes(Site.wants([ground.tip]))),
                        try site.http.send(
                            "POST", "/git/\(name)/git-receive-pack",
                            headers: [Site.authorization, Self.pushType],
                            body: .bytes(
                                ground.push([.init(old: nil, new: ground.next, "refs/heads/x")])
                                    .bytes)),
                        try site.http.send("GET", "/git/\(name)/HEAD"),
                        try site.http.send("GET", "/git/\(name)"),
                    ]
                    for answer in answers {
                        #expect(
                            [400, 403, 404, 405, 414].contains(answer.status),
                            "\(name.prefix(60)): \(answer.start)")
                        #expect(answer.header("X-Injected") == nil)
                    }
                    #expect([400, 403, 404, 414].contains(answers[0].status), "\(name.prefix(60))")
                }
            }
        }

        @Test func pathsBesideTheThreeRoutesServeNothing() throws {
            let ground = try Ground()
            let paths = [
                "", "/", "/HEAD", "/config", "/objects/info/packs", "/objects/info/alternates",
                "/objects/ab/cdef", "/objects/pack/pack-x.pack", "/refs/heads/main", "/packed-refs",
                "/info", "/info/", "/info/refs/", "/info/refs/x", "/info/refs", "/info/lfs",
                "/git-upload-archive", "/git-upload-pack/x", "/hooks/pre-receive", "/pointer",
                "/description", "/index.html", "/.git/config", "/info/../HEAD", "/info%2frefs",
                "/%2e%2e/%2e%2e/etc/passwd", "/git-upload-pack%00", "/info/refs%00",
                "/info/refs%3fservice=git-upload-pack", "//info/refs/x",
            ]
            try ground.expectUntouched("odd paths") {
                for path in paths {
                    for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"] {
                        let answer = try ground.site.http.send(
                            method, "/git/\(ground.repository).git\(path)")
                        #expect(
                            [400, 403, 404, 405].contains(answer.status),
                            "\(method) \(path): \(answer.start)")
                    }
                }
                for method in [
                    "BREW", "get", "CONNECT", "TRACE", "A" + String(repeating: "B", count: 40),
                ] {
                    let answer = try ground.site.http.send(
                        method, "/git/\(ground.repository).git/info/refs?service=git-upload-pack")
                    #expect([400, 405].contains(answer.status), "\(method): \(answer.start)")
                }
            }
        }

        // MARK: Commands

        @Test func unsafeNamesDuplicatesAndForeignIdsAreRefused() throws {
            let ground = try Ground()
            let tip = ground.tip
            let next = ground.next
            func one(_ name: String) -> PushBody.Command { .init(old: nil, new: next, name) }
            for name in [
                "refs/heads/../../x", "refs/heads/.hidden", "refs/heads/x.lock", "HEAD",
                "refs/heads/x\n", "refs/heads/@{", "refs/heads/x y", "../refs/heads/x", "",
                "refs/heads/\u{1}", "refs/heads/x\\y", "FETCH_HEAD", "config", "refs/heads/",
                "refs/heads/" + String(repeating: "a", count: 4000),
            ] {
                try ground.expectRefused(
                    "the name '\(name.prefix(40))'",
                    ground.push([one(name), one("refs/heads/fine")]).bytes, [200, 400])
            }
            try ground.expectRefused(
                "one ref twice", ground.push([one("refs/heads/x"), one("refs/heads/x")]).bytes,
                [200], says: "ng refs/heads/x ")
            try ground.expectRefused(
                "one ref twice, made and deleted",
                ground.push([
                    .init(old: tip, new: next, "refs/heads/main"),
                    .init(old: tip, new: nil, "refs/heads/main"),
                ]).bytes, [200], says: "ng refs/heads/main ")
            try ground.expectRefused(
                "a directory and a file",
                ground.push([one("refs/heads/x"), one("refs/heads/x/y")], "report-status atomic")
                    .bytes, [200], says: "ng refs/heads/x")
            try ground.expectUntouched("no old and no new id") {
                let answer = try ground.post(
                    ground.push([.init(old: nil, new: nil, "refs/heads/none")], pack: []).bytes)
                #expect([200, 400].contains(answer.status), "\(answer.start) \(answer.text)")
            }
            try ground.expectRefused(
                "a stale old id",
                ground.push([.init(old: next, new: next, "refs/heads/main")]).bytes, [200],
                says: "ng refs/heads/main ")
            try ground.expectRefused(
                "a deletion of another value",
                ground.push([.init(old: next, new: nil, "refs/heads/main")], pack: []).bytes,
                [200], says: "ng refs/heads/main ")
            try ground.expectRefused(
                "a new id that is nowhere",
                ground.push([
                    .init(
                        old: tip, new: String(repeating: "1", count: 40), "refs/heads/main")
                ]).bytes, [200], says: "ng refs/heads/main ")
        }

        @Test func commandsOfAnotherFormatAre400() throws {
            let ground = try Ground()
            let long = String(repeating: "a", count: 64)
            let zero = String(repeating: "0", count: 40)
            func line(_ text: String, _ capabilities: String = " report-status") -> [UInt8] {
                PktLines.line(Array(text.utf8) + [0] + Array(capabilities.utf8)) + PktLines.flush
                    + ground.pack
            }
            let good = "\(zero) \(ground.next) refs/heads/x"
            let bodies: [(String, [UInt8])] = [
                ("SHA-256 ids", line("\(String(repeating: "0", count: 64)) \(long) refs/heads/x")),
                ("ids of two lengths", line("\(zero) \(long) refs/heads/x")),
                ("another object format", line(good, " report-status object-format=sha256")),
                ("a second list behind a zero byte", line(good, " x\0report-status side-band-64k")),
                ("capital letters", line("\(zero) \(ground.next.uppercased()) refs/heads/x")),
                ("short ids", line("0000 1111 refs/heads/x")), ("no ids", line("refs/heads/x")),
                ("no name", line("\(zero) \(ground.next)")), ("an empty line", line("")),
                ("a push certificate", line("push-cert", " report-status push-cert=x")),
                (
                    "a certificate among commands",
                    PktLines.line(good) + PktLines.line("push-cert-end\n") + PktLines.flush
                ),
                ("a shallow line alone", line("shallow \(ground.tip)", "")),
                ("a bad shallow line", PktLines.line("shallow x") + line(good)),
                ("a SHA-256 shallow line", PktLines.line("shallow \(long)") + line(good)),
                ("a delimiter", PktLines.delimiter + line(good)),
                ("a response end", Array("0002".utf8) + line(good)),
                ("a length of three", Array("0003".utf8) + line(good)),
                ("garbage", Array("GET / HTTP/1.0\r\n\r\n".utf8)),
                ("a bad length", Array("zzzz".utf8) + line(good)),
                ("a length above the limit", Array("fff5".utf8) + line(good)),
                ("a signed length", Array("-001".utf8) + line(good)),
            ]
            for (what, bytes) in bodies { try ground.expectRefused(what, bytes, [400]) }
        }

        @Test func truncatedCommandsAre400AtEveryLength() throws {
            let ground = try Ground()
            let bytes = ground.push([.init(old: ground.tip, new: ground.next, "refs/heads/main")])
                .bytes.dropLast(ground.pack.count)
            for count in [1, 3, 5, 40, 44, bytes.count - 5, bytes.count - 4, bytes.count - 1] {
                try ground.expectRefused("\(count) bytes", Array(bytes.prefix(count)), [400])
            }
            // Announced options that never come.
            try ground.expectRefused(
                "push options that do not end",
                ground.push(
                    [.init(old: ground.tip, new: ground.next, "refs/heads/main")],
                    "report-status push-options", pack: PktLines.line("option")
                ).bytes, [400])
        }

        @Test func commandsBeyondTheLimitAre413() throws {
            let ground = try Ground()
            let zero = String(repeating: "0", count: 40)
            // A name cannot be this long in a file system; nothing gets so far.
            let line = PktLines.line(
                "\(zero) \(ground.next) refs/heads/" + String(repeating: "a", count: 65_000))
            let chunk = Array((0..<8).map { _ in line }.joined())
            try ground.expectUntouched("64 MiB of commands") {
                let answer = try ground.site.http.send(
                    "POST", "/git/\(ground.repository).git/git-receive-pack",
                    headers: [Site.authorization, Self.pushType],
                    body: .chunks(Array(repeating: chunk, count: (65 << 20) / chunk.count)))
                #expect(answer.status == 413, "\(answer.start) \(answer.text)")
            }
        }

        // MARK: Packs

        @Test func cutBodyPublishesNothingAndLeavesNothing() throws {
            let ground = try Ground()
            let bytes = ground.goodPush.bytes
            let path = "/git/\(ground.repository).git/git-receive-pack"
            let cuts = [10, bytes.count - ground.pack.count, bytes.count - 30, bytes.count - 1]
            for cut in cuts {
                for isChunked in [false, true] {
                    try ground.expectUntouched("\(cut) bytes, chunked: \(isChunked)") {
                        let framing =
                            isChunked
                            ? ("Transfer-Encoding", "chunked")
                            : ("Content-Length", "\(bytes.count)")
                        let exchange = try HTTPExchange(
                            port: ground.site.nginx.port, "POST", path,
                            headers: [Site.authorization, Self.pushType, framing])
                        let part = Array(bytes.prefix(cut))
                        if isChunked {
                            try exchange.sendChunk(part)
                        } else {
                            try exchange.send(part)
                        }
                        exchange.hangUp()
                        // Until the responder has noticed there is nothing to look at.
                        try wait(for: "the cut push to be logged") {
                            ground.site.responder.log.contains("\(ground.repository)")
                        }
                    }
                }
                // Properly ended, but too short for what it announces.
                try ground.expectRefused(
                    "a body that ends after \(cut) bytes", Array(bytes.prefix(cut)), [200, 400])
            }
        }

        @Test func flippedByteInAPackIsGitsToRefuse() throws {
            let ground = try Ground()
            for position in [0, 5, 11, 14, ground.pack.count / 2, ground.pack.count - 1] {
                var pack = ground.pack
                pack[position] ^= 0x10
                try ground.expectRefused(
                    "a pack with byte \(position) flipped",
                    ground.push(
                        [.init(old: ground.tip, new: ground.next, "refs/heads/main")], pack: pack
                    ).bytes, [200], says: "ng refs/heads/main ")
            }
            try ground.expectRefused(
                "no pack at all",
                ground.push(
                    [.init(old: ground.tip, new: ground.next, "refs/heads/main")], pack: []
                ).bytes, [200, 400])
        }

        /// git notices it or not, depending on how it comes in.
        @Test func garbageBehindThePackIsRefusedOrDroppedButNeverStored() throws {
            let ground = try Ground()
            let answer = try ground.post(ground.goodPush.bytes + Array("garbage".utf8))
            #expect(answer.status == 200)
            if !answer.text.contains("ok refs/heads/main\n") {
                #expect(answer.text.contains("ng refs/heads/main "))
                try ground.tree.git("reset", "-q", "--hard", ground.tip)
            }
            try expectServed(ground.site, ground.repository, equals: ground.tree)
        }

        @Test func packThatLacksObjectsIsRefused() throws {
            let ground = try Ground()
            let tree = ground.tree
            let blob = try tree.git("rev-parse", "HEAD:next")
            let root = try tree.git("rev-parse", "HEAD^{tree}")
            for missing in [[ground.next, root], [ground.next, blob], [root, blob]] {
                let list = Array(missing.joined(separator: "\n").utf8)
                let pack = try tree.client.run(
                    ["pack-objects", "--stdout", "-q"], in: tree.path, input: .bytes(list)
                ).checked().output
                try ground.expectRefused(
                    "a pack of \(missing)",
                    ground.push(
                        [.init(old: ground.tip, new: ground.next, "refs/heads/main")], pack: pack
                    ).bytes, [200], says: "ng refs/heads/main ")
            }
            // A branch of another repository's history.
            let stranger = try WorkTree.make()
            try stranger.commit("a")
            let last = try stranger.commit("b")
            let pack = try stranger.pack([last, "^\(last)~1"])
            try ground.expectRefused(
                "a commit without its parent",
                ground.push([.init(old: nil, new: last, "refs/heads/x")], pack: pack).bytes,
                [200], says: "ng refs/heads/x ")
        }

        @Test func objectThatFsckCondemnsIsRefused() throws {
            let ground = try Ground()
            let tree = ground.tree
            let blob = try tree.git("rev-parse", "HEAD:next")
            let bad = [".git", ".GIT", "..", ".", "git~1", "a/b"]
            for name in bad {
                let id = stride(from: 0, to: 40, by: 2).compactMap { offset in
                    UInt8(blob.dropFirst(offset).prefix(2), radix: 16)
                }
                let entry = Array("100644 \(name)".utf8) + [0] + id
                let root = try tree.client.run(
                    ["hash-object", "-t", "tree", "-w", "--stdin", "--literally"], in: tree.path,
                    input: .bytes(entry)
                ).checked().text.prefix(40)
                let commit = try tree.git(
                    "commit-tree", "-p", ground.tip, "-m", "bad", String(root))
                let list = Array("\(commit)\n\(root)\n\(blob)\n".utf8)
                let pack = try tree.client.run(
                    ["pack-objects", "--stdout", "-q"], in: tree.path, input: .bytes(list)
                ).checked().output
                try ground.expectRefused(
                    "a tree with '\(name)'",
                    ground.push(
                        [.init(old: ground.tip, new: commit, "refs/heads/main")], pack: pack
                    )
                    .bytes, [200], says: "ng refs/heads/main ")
            }
        }

        @Test func thinPackWithoutItsBaseIsRefused() throws {
            let ground = try Ground()
            let tree = ground.tree
            let long = (0..<400).map { "line \($0) \(randomHex(bytes: 8))" }
            let base = try tree.commit("long", long.joined(separator: "\n"))
            let tip = try tree.commit("long", (long + ["one more"]).joined(separator: "\n"))
            let thin = try tree.client.run(
                ["pack-objects", "--revs", "--thin", "--stdout", "-q"], in: tree.path,
                input: .bytes(Array("\(tip)\n^\(base)\n".utf8))
            ).checked().output
            #expect(thin.count < 4000)
            try ground.expectRefused(
                "a thin pack",
                ground.push([.init(old: nil, new: tip, "refs/heads/x")], pack: thin).bytes,
                [200], says: "ng refs/heads/x ")
        }

        @Test func bodyThatIsLongerThanAnnouncedIsTakenAsAnnounced() throws {
            let ground = try Ground()
            let bytes = ground.goodPush.bytes
            let exchange = try HTTPExchange(
                port: ground.site.nginx.port, "POST",
                "/git/\(ground.repository).git/git-receive-pack",
                headers: [
                    Site.authorization, Self.pushType, ("Content-Length", "\(bytes.count - 20)"),
                ])
            try ground.expectUntouched("a body longer than announced") {
                try exchange.send(bytes)
                let answer = try exchange.response()
                #expect([200, 400].contains(answer.status))
                #expect(!answer.text.contains("ok refs/"), "\(answer.text)")
            }
        }

        @Test func lengthsThatAreNoneOrTwoAreRefused() throws {
            let ground = try Ground()
            let framings: [[(name: String, value: String)]] = [
                [("Content-Length", "-1")], [("Content-Length", "+5")], [("Content-Length", "x")],
                [("Content-Length", "99999999999999999999999")],
                [("Content-Length", "5"), ("Content-Length", "6")],
                [("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
                [("Transfer-Encoding", "gzip, chunked")], [("Transfer-Encoding", "x")],
            ]
            try ground.expectUntouched("odd lengths") {
                for framing in framings {
                    let exchange = try HTTPExchange(
                        port: ground.site.nginx.port, "POST",
                        "/git/\(ground.repository).git/git-receive-pack",
                        headers: [Site.authorization, Self.pushType] + framing)
                    let answer = try exchange.response()
                    #expect([400, 411, 413, 501].contains(answer.status), "\(framing)")
                }
            }
        }

        // MARK: Fetches

        @Test func badFetchRequestsAre400OrGitsOwnError() throws {
            let ground = try Ground()
            let tip = ground.tip
            let long = String(repeating: "a", count: 64)
            func v2(_ lines: [String]) -> [UInt8] {
                lines.flatMap { line in
                    switch line {
                    case "0000": PktLines.flush
                    case "0001": PktLines.delimiter
                    default: PktLines.line(line)
                    }
                }
            }
            let bodies: [(String, [UInt8], version: Int)] = [
                ("garbage", Array("garbage, and more of it".utf8), 0),
                ("nothing", [], 0), ("a cut line", Array("0032want ".utf8), 0),
                ("no id", PktLines.line("want x\n") + PktLines.flush, 0),
                ("a word", PktLines.line("give \(tip)\n") + PktLines.flush, 0),
                ("a SHA-256 id", PktLines.line("want \(long)\n") + PktLines.flush, 0),
                ("a bad depth", v2(["want \(tip)\n", "deepen -1\n", "0000", "done\n"]), 0),
                ("no command", v2(["object-format=sha1", "0000"]), 2),
                ("an unknown command", v2(["command=format-disk", "0000"]), 2),
                ("two commands", v2(["command=fetch", "command=ls-refs", "0000"]), 2),
                (
                    "another object format",
                    v2(["command=fetch", "object-format=sha256", "0001", "want \(tip)", "0000"]), 2
                ),
                (
                    "another object format for ls-refs",
                    v2(["command=ls-refs", "object-format=sha256", "0000"]), 2
                ),
                ("an unknown argument", v2(["command=fetch", "0001", "take \(tip)", "0000"]), 2),
                (
                    "an unknown argument of ls-refs",
                    v2(["command=ls-refs", "0001", "take", "0000"]), 2
                ),
                ("an unknown capability", v2(["command=fetch", "x=y", "0001", "done", "0000"]), 2),
                ("no flush", v2(["command=fetch", "0001", "want \(tip)"]), 2),
                ("a bad want", v2(["command=fetch", "0001", "want x", "done", "0000"]), 2),
                ("garbage", Array("garbage, and more of it".utf8), 2),
            ]
            for (what, bytes, version) in bodies {
                try ground.expectUntouched(what) {
                    try ground.expectBadFetch("\(what), version \(version)", bytes, version)
                }
            }
        }

        @Test func gitProtocolHeaderReachesNoShell() throws {
            let ground = try Ground()
            for value in [
                "version=2:$(id)", "version=99", "version=2 version=1", "\";id",
                "version=2:x=\u{e9}",
                String(repeating: "x:", count: 2000) + "version=2",
            ] {
                let answer = try ground.site.advertisement(
                    ground.repository, headers: [("Git-Protocol", value)])
                #expect([200, 400].contains(answer.status), "\(value.prefix(40)): \(answer.start)")
                if answer.status == 200 { #expect(!answer.text.contains("uid="), "\(value)") }
            }
        }
    }
}
