import Glibc
import Posix
import Synchronization
import TestSupport
import Testing

extension EndToEnd {
    /// How much of an unauthenticated body a web server buffers, and for how long a client may send
    /// nothing.
    @Suite(.tags(.front)) struct FrontBodyTests {
        private static let fetchType = (
            name: "Content-Type", value: "application/x-git-upload-pack-request"
        )
        private static let pushType = (
            name: "Content-Type", value: "application/x-git-receive-pack-request"
        )

        /// The result of sending a large body.
        private struct Outcome {
            /// The most bytes that the web server had stored at once.
            let kept: Int
            /// nil if the server closed the connection.
            let status: Int?
        }

        /// Measures how much a web server stores while `body` runs.
        private func watching(
            _ bytes: @escaping @Sendable () throws -> Int, _ body: () throws -> Int?
        ) throws -> Outcome {
            let before = try bytes()
            let isDone = Mutex(false)
            let watch = Background {
                var largest = 0
                while !isDone.withLock({ $0 }) { largest = max(largest, try bytes()) }
                return largest
            }
            defer { isDone.withLock { $0 = true } }
            let status = try body()
            isDone.withLock { $0 = true }
            return Outcome(kept: try watch.value() - before, status: status)
        }

        /// 64 MiB, and some room for the server's log.
        private static let largest = (64 << 20) + (1 << 16)

        // W1, W2
        @Test(arguments: Front.allCases)
        func anonymousBodyTakesAtMost64MiBOfTheWebServersDisk(front: Front) throws {
            let site = try front.shared()
            let block = [UInt8](repeating: 0, count: 1 << 20)
            let blocks = 200
            for (tail, type) in [
                ("git-upload-pack", Self.fetchType), ("git-receive-pack", Self.pushType),
            ] {
                for isChunked in [false, true] {
                    let outcome = try watching(site.bytesOnDisk) {
                        let exchange = try HTTPExchange(
                            port: site.port, "POST", "/git/no/such.git/\(tail)",
                            headers: [
                                type,
                                isChunked
                                    ? ("Transfer-Encoding", "chunked")
                                    : ("Content-Length", "\(blocks << 20)"),
                            ])
                        // A server that refuses the request may close the connection before it has
                        // read everything.
                        try? (0..<blocks).forEach { _ in
                            isChunked ? try exchange.sendChunk(block) : try exchange.send(block)
                        }
                        if isChunked { try? exchange.endChunks() }
                        return try? exchange.response().status
                    }
                    let message = "\(tail), chunked: \(isChunked): \(outcome)"
                    #expect(outcome.kept <= Self.largest, "\(message)")
                    #expect(outcome.status.map { (400..<500).contains($0) } ?? true, "\(message)")
                }
            }
        }

        /// In HTTP/2 a body needs no length, and there are no chunks.
        private func expectRefused(
            _ bytes: @escaping @Sendable () throws -> Int, port: UInt16,
            _ certificate: Certificate, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let directory = try TemporaryDirectory()
            let large = try directory.file("large", "")
            if truncate(large, 200 << 20) != 0 { throw SystemError("truncate", large) }
            let curl = try Programs.find("curl", remedy: "apt install curl")
            for method in ["POST", "GET", "PUT"] {
                for tail in ["git-upload-pack", "git-receive-pack"] {
                    let outcome = try watching(bytes) {
                        let result = try Command(
                            curl,
                            [
                                "-s", "--http2", "--cacert", certificate.file, "-X", method,
                                "-T", "-", "-o", directory.path + "/answer", "-w",
                                "%{http_version} %{http_code}",
                                "https://127.0.0.1:\(port)/git/no/such.git/\(tail)",
                            ], input: .file(large)
                        ).run()
                        // curl may miss an answer that arrives before it has sent everything, and
                        // prints 0 then.
                        let words = result.text.split(separator: " ")
                        return words.last.flatMap { Int($0) }
                    }
                    let message = "\(method) \(tail): \(outcome)"
                    #expect(
                        outcome.kept <= Self.largest, "\(message)", sourceLocation: sourceLocation)
                    #expect(outcome.status != 200, "\(message)", sourceLocation: sourceLocation)
                }
            }
        }

        // W1
        @Test func bodyWithoutALengthByHTTP2IsRefusedToo() throws {
            let certificate = try Certificate()
            let setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            let site = try Site(setup)
            let nginx = try Nginx(
                before: .fastCGI(socket: site.instance.socket), certificate: certificate,
                isSite: true)
            try expectRefused(nginx.bytesOnDisk, port: nginx.port, certificate)
            let apache = try ApacheSite(
                .fcgid, ServerProcess.Setup(try StoreUnderTest.file.makeBucket()),
                certificate: certificate)
            try expectRefused(apache.bytesOnDisk, port: apache.port, certificate)
        }

        // W1: only mod_fcgid requires the length.
        @Test(arguments: Front.allCases)
        func chunkedFetchNeedsAPasswordBehindFCGIDAlone(front: Front) throws {
            let site = try front.shared()
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "HEAD")
            for (headers, status) in [
                ([], front == .apacheFCGID ? 401 : 200), ([Site.authorization], 200),
            ] {
                let answer = try site.http.send(
                    "POST", "/git/\(repository).git/git-upload-pack",
                    headers: headers + [Self.fetchType], body: .chunks([Site.wants([tip])]))
                #expect(answer.status == status, "\(answer)")
            }

            // The client has so many commits that the server does not know that git sends their ids
            // in chunks.
            let reader = try WorkTree.make(remote: site.anonymousURL(repository))
            let commits = (1...3000).map {
                "commit refs/heads/own\ncommitter T <t@example.org> \(1_700_000_000 + $0) +0000\n"
                    + "data 1\nx\n"
            }
            try reader.git(
                "fast-import", "--quiet", input: .bytes(Array(commits.joined().utf8)))
            try reader.git("config", "http.postBuffer", "65536")
            let fetch = try reader.traced("fetch", "-q", "origin", "main")
            #expect(fetch.succeeded == (front != .apacheFCGID), "\(fetch.result)")
            let named = try reader.traced("fetch", "-q", site.url(repository), "main")
            #expect(named.succeeded, "\(named.result)")
            #expect(named.sentHeaders.contains("Transfer-Encoding: chunked"))
            #expect(try reader.git("rev-parse", "FETCH_HEAD") == tip)
        }

        /// A site with a patience of one second for one kind of body.
        private func site(_ front: Front, _ patience: String) throws -> any BackendHost {
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.environment = [
                "GIT_S3_BACKEND_FAULT": "\(patience)=1000", "GIT_S3_BACKEND_LOG_LEVEL": "debug",
            ]
            return try front.makeSite(setup)
        }

        /// Starts to post a body: everything except the last byte is sent at once.
        private func post(
            _ body: [UInt8], to site: any BackendHost, _ target: String,
            _ headers: [(name: String, value: String)]
        ) throws -> HTTPExchange {
            let exchange = try HTTPExchange(
                port: site.port, "POST", target,
                headers: headers + [("Content-Length", "\(body.count)")])
            try exchange.send(body.dropLast(1))
            return exchange
        }

        /// Expects that the program abandons a silent client. Apache reads the program's answer
        /// only when the client continues.
        private func expectCutOff(_ exchange: HTTPExchange, _ site: any BackendHost) throws {
            try wait(for: "the silent client to be cut off") { site.log.contains("too slowly") }
            exchange.hangUp()
            try wait(for: "nothing to be left") { try site.leftovers().isEmpty }
        }

        // C5
        @Test(arguments: [Front.nginx, .cgi, .apacheProxy, .apacheCGID])
        func pushMayBeSilentForLongerThanOtherRequests(front: Front) throws {
            let site = try site(front, "request-patience")
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "HEAD")
            let next = try tree.commit("next", bytes: try randomBytes(3_000_000))
            let push = PushBody(
                [.init(old: tip, new: next, "refs/heads/main")], capabilities: "report-status",
                pack: try tree.pack([next, "^\(tip)"])
            ).bytes
            let exchange = try post(
                push, to: site, "/git/\(repository).git/git-receive-pack",
                [Site.authorization, Self.pushType])
            // Longer than a second, and than the interval in which the program checks.
            let end = ContinuousClock.now + .seconds(4)
            try wait(for: "the time to pass") { ContinuousClock.now >= end }
            try exchange.send(push.suffix(1))
            let answer = try exchange.response()
            #expect(answer.text.contains("ok refs/heads/main"), "\(answer)")

            // nginx passes a fetch's request on only when it is complete.
            if front == .nginx || front == .cgi { return }
            let fetch = try post(
                Site.wants([next]), to: site, "/git/\(repository).git/git-upload-pack",
                [Self.fetchType])
            try expectCutOff(fetch, site)
        }

        // C5
        // fcgiwrap passes on neither the log nor the answer of a program while a client is silent.
        @Test(arguments: [Front.nginx, .apacheProxy, .apacheCGID])
        func pushThatIsSilentForTooLongIsCutOff(front: Front) throws {
            let site = try site(front, "push-patience")
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "HEAD")
            let next = try tree.commit("next")
            let push = PushBody(
                [.init(old: tip, new: next, "refs/heads/main")], capabilities: "report-status",
                pack: try tree.pack([next, "^\(tip)"]))
            let exchange = try post(
                push.bytes, to: site, "/git/\(repository).git/git-receive-pack",
                [Site.authorization, Self.pushType])
            try expectCutOff(exchange, site)
            let served = try tree.git("ls-remote", site.anonymousURL(repository), "main")
            #expect(served.hasPrefix(tip))
        }
    }
}
