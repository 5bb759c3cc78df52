import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct HostileRequestTests {
        static let site = Result { try Site(.file) }

        /// A repository with one commit, and a push to it that would be accepted.
        struct Fixture {
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

            /// Expects that `body` changes nothing in the store, and leaves neither a workspace nor
            /// a process behind.
            func expectUntouched(
                _ what: String, sourceLocation: SourceLocation = #_sourceLocation,
                _ body: () throws -> Void
            ) throws {
                let before = try site.bucket.listing()
                try body()
                let instance = site.instance
                try wait(for: "nothing to be left after \(what)") {
                    try instance.workspaces().isEmpty && instance.children().isEmpty
                }
                #expect(
                    try site.bucket.listing() == before, "\(what)", sourceLocation: sourceLocation)
                #expect(!instance.hasEnded, "\(what)", sourceLocation: sourceLocation)
            }

            /// Posts bytes as a push by `alice`.
            func post(_ bytes: [UInt8]) throws -> HTTPMessage {
                try site.http.send(
                    "POST", "/git/\(repository).git/git-receive-pack",
                    headers: [Site.authorization, HostileRequestTests.pushType],
                    body: .bytes(bytes))
            }

            /// Posts a push that must get one of these statuses and change nothing.
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

            /// Posts a fetch that must get 400 or git's own error.
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

        static let pushType = (
            name: "Content-Type", value: "application/x-git-receive-pack-request"
        )
        static let fetchType = (
            name: "Content-Type", value: "application/x-git-upload-pack-request"
        )
        /// The user alice with a wrong password.
        private static let wrongPassword = (
            name: "Authorization", value: "Basic YWxpY2U6bWFkaGF0dGVy"
        )

        // MARK: Authentication

        @Test func wrongPasswordIs401AndAGitPushWithItFails() throws {
            let fixture = try Fixture()
            let site = fixture.site
            let path = "/git/\(fixture.repository).git"
            let headers: [[(name: String, value: String)]] = [
                [], [Self.wrongPassword], [("Authorization", "Basic")],
                [("Authorization", "Basic YWxpY2U=")], [("Authorization", "Basic YWxpY2U6")],
                [("Authorization", "Bearer YWxpY2U6d29uZGVybGFuZA==")],
                [("Authorization", "Basic bWFsbG9yeTp3b25kZXJsYW5k")],
            ]
            try fixture.expectUntouched("a push without the right password") {
                for header in headers {
                    let refs = try site.advertisement(
                        fixture.repository, service: "git-receive-pack", headers: header)
                    #expect(refs.status == 401, "\(header): \(refs.start)")
                    #expect(refs.header("WWW-Authenticate")?.contains("Basic") == true)
                    let push = try site.http.send(
                        "POST", "\(path)/git-receive-pack", headers: header + [Self.pushType],
                        body: .bytes(fixture.goodPush.bytes))
                    #expect(push.status == 401, "\(header): \(push.start)")
                }
                for user in ["alice", "mallory", ""] {
                    let url = site.url(fixture.repository, user: user, password: "madhatter")
                    #expect(try !fixture.tree.attempt("push", url, "main").succeeded)
                }
                let anonymous = site.anonymousURL(fixture.repository)
                #expect(try !fixture.tree.attempt("push", anonymous, "main").succeeded)
            }
        }

        @Test func anyAuthorizationHeaderIsIgnoredWhereNoPasswordIsAskedFor() throws {
            let fixture = try Fixture()
            let refs = try fixture.site.advertisement(
                fixture.repository, headers: [Self.wrongPassword])
            #expect(refs.status == 200)
            let fetch = try fixture.site.fetch(
                fixture.repository, [fixture.tip], headers: [Self.wrongPassword])
            #expect(fetch.status == 200)
        }

        /// Each tries to bypass nginx's condition for pushes, with a user name and no password.
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
            let fixture = try Fixture()
            let named: [(name: String, value: String)] = [
                Self.wrongPassword, ("Remote-User", "alice"), ("Remote_User", "alice"),
                ("X-Remote-User", "alice"), ("X-HTTP-Method-Override", "POST"),
                ("Proxy", "alice"),
            ]
            try fixture.expectUntouched("pushes in disguise") {
                for target in Self.disguises {
                    let target = target.replacing("NAME", with: fixture.repository)
                    for method in ["POST", "GET", "PUT", "PATCH", "post"] {
                        let answer = try fixture.site.http.send(
                            method, target, headers: named + [Self.pushType],
                            body: .bytes(fixture.goodPush.bytes))
                        #expect(
                            [400, 401, 403, 404, 405].contains(answer.status),
                            "\(method) \(target): \(answer.start)")
                    }
                }
            }
            // With the right password and the plain path it succeeds, so the body was valid.
            #expect(try fixture.post(fixture.goodPush.bytes).text.contains("ok refs/heads/main"))
        }

        @Test func queryCannotAskForTwoServices() throws {
            let fixture = try Fixture()
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
                    let answer = try fixture.site.http.send(
                        "GET", "/git/\(fixture.repository).git/info/refs?\(query)", headers: headers
                    )
                    #expect([400, 401, 403].contains(answer.status), "\(query): \(answer.start)")
                }
            }
            let other = try fixture.site.http.send(
                "GET",
                "/git/\(fixture.repository).git/info/refs?a=1&service=git-receive-pack&b",
                headers: [Self.wrongPassword])
            #expect(other.status == 401)
        }

        // MARK: Names and paths

        /// Replacements for OWNER/REPO.git.
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

        @Test func invalidNamesAreNotFoundOnEveryRoute() throws {
            let fixture = try Fixture()
            let site = fixture.site
            try fixture.expectUntouched("bad names") {
                for name in Self.names {
                    let answers = [
                        try site.http.send(
                            "GET", "/git/\(name)/info/refs?service=git-upload-pack"),
                        try site.http.send(
                            "GET", "/git/\(name)/info/refs?service=git-receive-pack",
                            headers: [Site.authorization]),
                        try site.http.send(
                            "POST", "/git/\(name)/git-upload-pack", headers: [Self.fetchType],
                            body: .bytes(Site.wants([fixture.tip]))),
                        try site.http.send(
                            "POST", "/git/\(name)/git-receive-pack",
                            headers: [Site.authorization, Self.pushType],
                            body: .bytes(
                                fixture.push([.init(old: nil, new: fixture.next, "refs/heads/x")])
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
            let fixture = try Fixture()
            let paths = [
                "", "/", "/HEAD", "/config", "/objects/info/packs", "/objects/info/alternates",
                "/objects/ab/cdef", "/objects/pack/pack-x.pack", "/refs/heads/main", "/packed-refs",
                "/info", "/info/", "/info/refs/", "/info/refs/x", "/info/refs", "/info/lfs",
                "/git-upload-archive", "/git-upload-pack/x", "/hooks/pre-receive", "/pointer",
                "/description", "/index.html", "/.git/config", "/info/../HEAD", "/info%2frefs",
                "/%2e%2e/%2e%2e/etc/passwd", "/git-upload-pack%00", "/info/refs%00",
                "/info/refs%3fservice=git-upload-pack", "//info/refs/x",
            ]
            try fixture.expectUntouched("odd paths") {
                for path in paths {
                    for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"] {
                        let answer = try fixture.site.http.send(
                            method, "/git/\(fixture.repository).git\(path)")
                        #expect(
                            [400, 403, 404, 405].contains(answer.status),
                            "\(method) \(path): \(answer.start)")
                    }
                }
                for method in [
                    "BREW", "get", "CONNECT", "TRACE", "A" + String(repeating: "B", count: 40),
                ] {
                    let answer = try fixture.site.http.send(
                        method, "/git/\(fixture.repository).git/info/refs?service=git-upload-pack")
                    #expect([400, 405].contains(answer.status), "\(method): \(answer.start)")
                }
            }
        }

        // MARK: Fetches

        @Test func badFetchRequestsAre400OrGitsOwnError() throws {
            let fixture = try Fixture()
            let tip = fixture.tip
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
                try fixture.expectUntouched(what) {
                    try fixture.expectBadFetch("\(what), version \(version)", bytes, version)
                }
            }
        }

        @Test func gitProtocolHeaderReachesNoShell() throws {
            let fixture = try Fixture()
            for value in [
                "version=2:$(id)", "version=99", "version=2 version=1", "\";id",
                "version=2:x=\u{e9}",
                String(repeating: "x:", count: 2000) + "version=2",
            ] {
                let answer = try fixture.site.advertisement(
                    fixture.repository, headers: [("Git-Protocol", value)])
                #expect([200, 400].contains(answer.status), "\(value.prefix(40)): \(answer.start)")
                if answer.status == 200 { #expect(!answer.text.contains("uid="), "\(value)") }
            }
        }
    }
}
