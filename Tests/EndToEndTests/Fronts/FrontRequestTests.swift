import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// Single requests, well-formed or not, through every web server.
    @Suite(.tags(.front)) struct FrontRequestTests {
        private static let pushType = (
            name: "Content-Type", value: "application/x-git-receive-pack-request"
        )
        private static let fetchType = (
            name: "Content-Type", value: "application/x-git-upload-pack-request"
        )

        /// A repository with one commit, and a push to it.
        private struct Fixture {
            let site: any BackendHost
            let repository: String
            let tree: WorkTree
            let tip: String
            let push: [UInt8]

            init(_ front: Front, size: Int = 1000) throws {
                try self.init(on: front.shared(), size: size)
            }

            init(on site: any BackendHost, size: Int) throws {
                self.site = site
                (repository, tree) = try seeded(site)
                tip = try tree.git("rev-parse", "HEAD")
                let next = try tree.commit("next", bytes: try randomBytes(size))
                push =
                    PushBody(
                        [.init(old: tip, new: next, "refs/heads/main")],
                        capabilities: "report-status", pack: try tree.pack([next, "^\(tip)"])
                    ).bytes
            }

            func target(_ tail: String) -> String { "/git/\(repository).git/\(tail)" }

            func expectUnchanged(_ sourceLocation: SourceLocation = #_sourceLocation) throws {
                try wait(for: "nothing to be left") { try site.leftovers().isEmpty }
                let served = try tree.git("ls-remote", site.anonymousURL(repository), "main")
                #expect(served.hasPrefix(tip), sourceLocation: sourceLocation)
            }
        }

        // MARK: Bodies

        @Test(arguments: Front.allCases)
        func gzipAndChunkedBodiesAreTakenAndBrokenOnesChangeNothing(front: Front) throws {
            let fixture = try Fixture(front)
            let site = fixture.site
            let zipped = try gzip(Site.wants([fixture.tip]))
            // mod_fcgid accepts a body without a length only with a password.
            let name = front == .apacheFCGID ? [Site.authorization] : []
            let fetch = try site.http.send(
                "POST", fixture.target("git-upload-pack"),
                headers: name + [Self.fetchType, ("Content-Encoding", "gzip")],
                body: .chunks(zipped.map { [$0] }))
            #expect(fetch.status == 200 && fetch.text.hasPrefix("0008NAK\nPACK"), "\(fetch)")

            func push(_ headers: [(name: String, value: String)], _ body: HTTPClient.Body) throws
                -> HTTPMessage?
            {
                // A server may not answer a client that has closed its connection.
                try? site.http.send(
                    "POST", fixture.target("git-receive-pack"),
                    headers: [Site.authorization, Self.pushType] + headers, body: body)
            }
            let whole = try gzip(fixture.push)
            let encoding = (name: "Content-Encoding", value: "gzip")
            let half = Array(fixture.push.prefix(fixture.push.count - 30))
            for answer in [
                try push([encoding], .bytes(Array(whole.dropLast(20)))),
                try push([encoding], .bytes(fixture.push)),
                try push([], .cut(half, promised: fixture.push.count)),
            ] {
                #expect(answer.map { $0.status >= 400 } ?? true, "\(String(describing: answer))")
            }
            try fixture.expectUnchanged()
            let answer = try push(
                [encoding], .chunks([Array(whole.prefix(50)), Array(whole.dropFirst(50))]))
            #expect(answer?.text.contains("ok refs/heads/main") == true)
            try expectServed(site, fixture.repository, equals: fixture.tree)
        }

        @Test(arguments: Front.allCases)
        func pushAboveEveryDefaultLimitIsTaken(front: Front) throws {
            let site = try front.shared()
            let (repository, tree) = try seeded(site)
            try tree.git("config", "core.compression", "0")
            // The limit is 128 KiB in mod_fcgid, 1 MiB in nginx and git, and 100 MiB in a common
            // proxy.
            try Command(
                "/bin/dd",
                ["if=/dev/urandom", "of=\(tree.path)/large", "bs=1M", "count=101", "status=none"]
            ).run().checked()
            try tree.git("add", "large")
            try tree.git("commit", "-q", "-m", "large")
            try tree.git("push", "-q", "origin", "main")
            let copy = try WorkTree.clone(site.anonymousURL(repository), "-q", "--bare")
            #expect(try copy.git("rev-parse", "main") == tree.git("rev-parse", "main"))

            // Apache's limit is 1 GiB. A server that refuses a body does so before it is sent.
            let exchange = try HTTPExchange(
                port: site.port, "POST", "/git/\(repository).git/git-receive-pack",
                headers: [
                    Site.authorization, Self.pushType, ("Expect", "100-continue"),
                    ("Content-Length", "\(5 << 30)"),
                ])
            #expect(
                text(try exchange.receive(until: "\r\n\r\n")).hasPrefix("HTTP/1.1 100 Continue"))
            exchange.hangUp()
            try wait(for: "nothing to be left") { try site.leftovers().isEmpty }
        }

        @Test(arguments: Front.allCases)
        func waitingClientGets100Continue(front: Front) throws {
            let fixture = try Fixture(front)
            let exchange = try HTTPExchange(
                port: fixture.site.port, "POST", fixture.target("git-receive-pack"),
                headers: [
                    Site.authorization, Self.pushType, ("Expect", "100-continue"),
                    ("Content-Length", "\(fixture.push.count)"),
                ])
            #expect(
                text(try exchange.receive(until: "\r\n\r\n")).hasPrefix("HTTP/1.1 100 Continue"))
            try exchange.send(fixture.push)
            #expect(try exchange.response().text.contains("ok refs/heads/main"))
            try expectServed(fixture.site, fixture.repository, equals: fixture.tree)
        }

        @Test(arguments: [Front.apacheProxy, .apacheFCGID, .apacheCGID, .apacheCGI])
        func clientThatThinksBeforeItSendsIsNotCutOffByApachesDefaults(front: Front) throws {
            let fixture = try Fixture(front)
            let exchange = try HTTPExchange(
                port: fixture.site.port, "POST", fixture.target("git-receive-pack"),
                headers: [
                    Site.authorization, Self.pushType, ("Content-Length", "\(fixture.push.count)"),
                ])
            // The surrounding server waits one second for a body, and two seconds in general.
            let end = ContinuousClock.now + .seconds(3)
            try wait(for: "the time to pass") { ContinuousClock.now >= end }
            try exchange.send(fixture.push)
            #expect(try exchange.response().text.contains("ok refs/heads/main"))
        }

        @Test(arguments: Front.allCases)
        func refusedBodyIsDrainedAndTheRefusalRead(front: Front) throws {
            let fixture = try Fixture(front)
            let body = try randomBytes(8 << 20)
            for (tail, type, status) in [
                ("git-receive-pack", "text/plain", 415), ("git-upload-pack", "text/plain", 415),
                ("nothing", Self.pushType.value, 404),
            ] {
                let exchange = try HTTPExchange(
                    port: fixture.site.port, "POST", fixture.target(tail),
                    headers: [
                        Site.authorization, ("Content-Type", type),
                        ("Content-Length", "\(body.count)"),
                    ])
                try exchange.send(body)
                let answer = try exchange.response()
                #expect(answer.status == status, "\(tail): \(answer)")
                #expect(answer.text.contains("(request "), "\(tail): \(answer)")
            }
            try fixture.expectUnchanged()
        }

        // MARK: Heads

        @Test(arguments: Front.allCases)
        func headersAndStatusesAreThoseOfTheProgram(front: Front) throws {
            let fixture = try Fixture(front)
            let refs = fixture.target("info/refs?service=git-upload-pack")
            for method in ["GET", "HEAD"] {
                let answer = try fixture.site.http.send(
                    method, refs, headers: [("Accept-Encoding", "gzip, deflate, br")])
                #expect(answer.status == 200)
                #expect(
                    answer.header("Content-Type") == "application/x-git-upload-pack-advertisement")
                #expect(answer.header("Cache-Control") == "no-cache, max-age=0, must-revalidate")
                #expect(answer.header("Content-Encoding") == nil)
                #expect(answer.header("X-Request-Id") != nil)
                #expect(answer.body.isEmpty == (method == "HEAD"))
            }
            let second = try fixture.site.advertisement(
                fixture.repository, headers: [("Git-Protocol", "version=2")])
            #expect(second.text.hasPrefix("000eversion 2\n"))
            for (method, target, status) in [
                ("PUT", fixture.target("git-upload-pack"), 405),
                ("GET", "/git/team/none.git/info/refs?service=git-upload-pack", 404),
                ("GET", fixture.target("info/refs"), 403), ("GET", fixture.target("HEAD"), 403),
                ("GET", fixture.target("info/refs?service=git-upload-archive"), 403),
                ("GET", "/git/", 404),
            ] {
                let answer = try fixture.site.http.send(method, target)
                #expect(answer.status == status, "\(method) \(target): \(answer)")
                #expect(answer.header("X-Request-Id") != nil, "\(method) \(target): \(answer)")
                if status == 405 { #expect(answer.header("Allow") == "POST") }
            }
        }

        // MARK: Passwords

        @Test(arguments: Front.allCases)
        func wrongPasswordPublishesNothingInAnyDisguise(front: Front) throws {
            let fixture = try Fixture(front)
            let site = fixture.site
            let wrong = (name: "Authorization", value: "Basic YWxpY2U6d3Jvbmc=")
            let refs = "info/refs?service=git-receive-pack"
            for tail in [refs, "info/refs?a&service=git-receive-pack&b", "git-receive-pack"] {
                for headers in [[], [wrong]] {
                    let answer = try site.http.send(
                        tail.contains("?") ? "GET" : "POST", fixture.target(tail),
                        headers: headers + [Self.pushType],
                        body: tail.contains("?") ? .none : .bytes(fixture.push))
                    #expect(answer.status == 401, "\(tail): \(answer)")
                    #expect(answer.header("WWW-Authenticate")?.contains("git push") == true)
                }
            }
            let right = try site.http.send(
                "GET", fixture.target(refs), headers: [Site.authorization])
            #expect(right.status == 200)
            // Credentials that a client sends with a fetch are not checked.
            for headers in [[wrong], [Site.authorization]] {
                #expect(try site.advertisement(fixture.repository, headers: headers).status == 200)
            }

            for target in [
                "/git/\(fixture.repository)/git-receive-pack", fixture.target("git-receive%2Dpack"),
                fixture.target("./git-receive-pack"), fixture.target("x/../git-receive-pack"),
                fixture.target("git-receive-pack?x"), fixture.target("git-receive-pack%0A"),
                fixture.target("git-receive-pack%3Fx"), fixture.target("git-receive-pack/"),
                fixture.target("git-receive-pack;x"), fixture.target("Git-Receive-Pack"),
                fixture.target("/git-receive-pack"), "/git//\(fixture.repository)/git-receive-pack",
                "//git/\(fixture.repository)/git-receive-pack",
                "/git%2F\(fixture.repository)/git-receive-pack",
                fixture.target("info/refs?service=git-receive%2Dpack"),
                fixture.target("info/refs?service=git-upload-pack&service=git-receive-pack"),
            ] {
                for headers in [[], [wrong], [(name: "Remote-User", value: "alice")]] {
                    let answer = try site.http.send(
                        "POST", target, headers: headers + [Self.pushType],
                        body: .bytes(fixture.push))
                    #expect((400..<500).contains(answer.status), "\(target): \(answer)")
                }
            }
            try fixture.expectUnchanged()
        }

        // MARK: Clients that disconnect

        /// With the body in the spool, and, if that has no room, while git receives it.
        @Test(arguments: Front.allCases, ["1G", "0"])
        func clientThatGoesAwayWhileItSendsLeavesNothing(front: Front, room: String) throws {
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.environment = ["GIT_S3_BACKEND_SPOOL_SIZE": room]
            let fixture = try Fixture(on: front.makeSite(setup), size: 2_000_000)
            let exchange = try HTTPExchange(
                port: fixture.site.port, "POST", fixture.target("git-receive-pack"),
                headers: [
                    Site.authorization, Self.pushType, ("Transfer-Encoding", "chunked"),
                ])
            try exchange.sendChunk(Array(fixture.push.dropLast(1000)))
            // If the body is stored until it is complete, git has not started.
            if front.streamsBodies, room == "0" {
                try wait(for: "git to run") { try fixture.site.leftovers().count > 1 }
            }
            exchange.hangUp()
            try fixture.expectUnchanged()
        }

        @Test(arguments: Front.allCases)
        func clientThatGoesAwayWhileItReceivesLeavesNothing(front: Front) throws {
            let site = try front.shared()
            let (repository, tree) = try seeded(site)
            let tip = try tree.commit("large", bytes: try randomBytes(24_000_000))
            try tree.git("push", "-q", "origin", "main")
            let wants = Site.wants([tip])
            var exchange: HTTPExchange? = try HTTPExchange(
                port: site.port, "POST", "/git/\(repository).git/git-upload-pack",
                headers: [Self.fetchType, ("Content-Length", "\(wants.count)")])
            try exchange?.send(wants)
            #expect(text(try exchange?.receive() ?? []).hasPrefix("HTTP/1.1 200 OK"))
            // Closed, not just shut down: otherwise the kernel would accept more of the answer.
            exchange = nil
            try wait(for: "nothing to be left") { try site.leftovers().isEmpty }
            #expect(try site.fetch(repository, [tip]).body.count > 24_000_000)
        }
    }
}
