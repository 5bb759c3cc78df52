import Bytes
import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite(.tags(.front)) struct GzipAndChunkedTests {
        private static let pushType = (
            name: "Content-Type", value: "application/x-git-receive-pack-request"
        )
        private static let fetchType = (
            name: "Content-Type", value: "application/x-git-upload-pack-request"
        )

        /// A repository with one commit, and a push to it.
        private struct Fixture {
            let site: Site
            let repository: String
            let tree: WorkTree
            let tip: String
            let push: [UInt8]

            init(_ site: Site, _ capabilities: String = "report-status") throws {
                self.site = site
                (repository, tree) = try seeded(site)
                tip = try tree.git("rev-parse", "HEAD")
                let next = try tree.commit("next")
                push =
                    PushBody(
                        [.init(old: tip, new: next, "refs/heads/main")], capabilities: capabilities,
                        pack: try tree.pack([next, "^\(tip)"])
                    ).bytes
            }

            func post(
                _ tail: String, _ headers: [(name: String, value: String)], _ body: HTTPClient.Body
            ) throws -> HTTPMessage {
                let type =
                    tail == "git-upload-pack"
                    ? GzipAndChunkedTests.fetchType : GzipAndChunkedTests.pushType
                return try site.http.send(
                    "POST", "/git/\(repository).git/\(tail)",
                    headers: headers + [Site.authorization, type], body: body)
            }
        }

        private static func bytewise(_ bytes: [UInt8]) -> HTTPClient.Body {
            .chunks(bytes.map { [$0] })
        }

        @Test func gzipUnderEitherNameIsDecodedInWholeAndInChunks() throws {
            let site = try Site.shared(.file)
            for encoding in ["gzip", "x-gzip", "GZIP"] {
                let header = (name: "Content-Encoding", value: encoding)
                for isChunked in [false, true] {
                    let fixture = try Fixture(site)
                    func body(_ bytes: [UInt8]) throws -> HTTPClient.Body {
                        isChunked ? Self.bytewise(try gzip(bytes)) : .bytes(try gzip(bytes))
                    }
                    let fetch = try fixture.post(
                        "git-upload-pack", [header], try body(Site.wants([fixture.tip])))
                    #expect(fetch.status == 200 && fetch.text.contains("PACK"), "\(encoding)")
                    let push = try fixture.post(
                        "git-receive-pack", [header], try body(fixture.push))
                    #expect(push.text.contains("ok refs/heads/main"), "\(encoding): \(push.start)")
                    try expectServed(site, fixture.repository, equals: fixture.tree)
                }
            }
        }

        @Test func gzipOfSeveralMembersIsOneStream() throws {
            let fixture = try Fixture(try Site.shared(.file))
            let half = fixture.push.count / 2
            let members =
                try gzip(Array(fixture.push[..<half])) + gzip(Array(fixture.push[half...]))
            let push = try fixture.post(
                "git-receive-pack", [("Content-Encoding", "gzip")], .bytes(members))
            #expect(push.text.contains("ok refs/heads/main"), "\(push.start)")
        }

        @Test func badGzipIs400AndChangesNothing() throws {
            let site = try Site.shared(.file)
            let fixture = try Fixture(site)
            let pointer = try site.bucket.pointer(of: fixture.repository)
            for (tail, bytes) in [
                ("git-upload-pack", Site.wants([fixture.tip])), ("git-receive-pack", fixture.push),
            ] {
                let good = try gzip(bytes)
                var flipped = good
                flipped[good.count - 6] ^= 1
                let bodies = [
                    Array(good.dropLast()), Array(good.dropLast(8)), Array(good.prefix(11)),
                    Array(good.prefix(3)), [], bytes, flipped, good + [1, 2, 3],
                    Array(repeating: 0x1f, count: 100), good + Array(good.prefix(12)),
                ]
                for (number, body) in bodies.enumerated() {
                    for framed in [HTTPClient.Body.bytes(body), .chunks([body])] {
                        let answer = try fixture.post(tail, [("Content-Encoding", "gzip")], framed)
                        #expect(answer.status == 400, "\(tail) \(number): \(answer.start)")
                    }
                }
            }
            #expect(try site.bucket.pointer(of: fixture.repository) == pointer)
            try wait(for: "git's end") { try site.instance.children().isEmpty }
            #expect(try site.instance.workspaces() == [])
        }

        @Test func gzipBombIsCutOffByTheFramingAndByTheLimitOfFetches() throws {
            let site = try Site.shared(.file)
            let fixture = try Fixture(site)
            let header = (name: "Content-Encoding", value: "gzip")
            func many(_ times: Int, _ bytes: [UInt8]) throws -> [UInt8] {
                Array(Array(repeating: try gzip(bytes), count: times).joined())
            }
            let zeros = try many(100, Array(repeating: 0, count: 1 << 20))
            #expect(zeros.count < 1 << 18)
            for tail in ["git-upload-pack", "git-receive-pack"] {
                #expect(try fixture.post(tail, [header], .bytes(zeros)).status == 400)
            }
            let want = PktLines.line("want \(fixture.tip)\n")
            let wants = Array(Array(repeating: want, count: (1 << 20) / want.count).joined())
            let answer = try fixture.post(
                "git-upload-pack", [header],
                .bytes(try many(70, wants) + gzip(PktLines.flush)))
            #expect(answer.status == 413, "\(answer.start)")
            #expect(try site.instance.peakMemory() < 300 << 20)
        }

        @Test func gitFetchesWithManyHavesWhichItSendsCompressed() throws {
            let site = try Site.shared(.file)
            let (repository, tree) = try seeded(site)
            let reader = try WorkTree.clone(site.anonymousURL(repository), "-q")
            for number in 0..<60 {
                try reader.git("commit", "-q", "--allow-empty", "-m", "\(number)")
            }
            let tip = try tree.commit("more")
            try tree.git("push", "-q", "origin", "main")
            for version in [0, 2] {
                // The common commits are many commits back.
                try reader.git("update-ref", "-d", "refs/remotes/origin/main")
                let fetch = try reader.client.run(
                    ["-c", "protocol.version=\(version)", "fetch", "origin"], in: reader.path,
                    environment: ["GIT_TRACE_CURL": "1", "GIT_TRACE_CURL_NO_DATA": "1"])
                #expect(fetch.succeeded, "\(fetch)")
                if version == 0 {
                    #expect(fetch.errors.lowercased().contains("content-encoding: gzip"))
                }
                #expect(try reader.git("rev-parse", "origin/main") == tip)
            }
        }

        @Test(arguments: stores)
        func gitPushesInChunksAfterItsProbe(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            var bytes: [UInt8] = []
            for _ in 0..<20_000 { bytes += Array(Hex.random(bytes: 8).utf8) }
            try tree.commit("large", bytes: bytes)
            let push = try tree.client.run(
                ["-c", "http.postBuffer=4096", "push", "origin", "main"], in: tree.path,
                environment: ["GIT_TRACE_CURL": "1", "GIT_TRACE_CURL_NO_DATA": "1"])
            #expect(push.succeeded)
            #expect(push.errors.lowercased().contains("transfer-encoding: chunked"))
            try expectServed(site, repository, equals: tree)
        }

        @Test func bodyByteByByteIsTakenLikeAWholeOne() throws {
            let site = try Site.shared(.file)
            let fixture = try Fixture(site)
            let fetch = try fixture.post(
                "git-upload-pack", [], Self.bytewise(Site.wants([fixture.tip])))
            #expect(fetch.text.contains("PACK"))
            let push = try fixture.post("git-receive-pack", [], Self.bytewise(fixture.push))
            #expect(push.text.contains("ok refs/heads/main"), "\(push.start)")
            try expectServed(site, fixture.repository, equals: fixture.tree)
        }

        @Test func clientThatExpects100ContinueGetsIt() throws {
            let site = try Site.shared(.file)
            let fixture = try Fixture(site)
            let exchange = try HTTPExchange(
                port: site.nginx.port, "POST", "/git/\(fixture.repository).git/git-receive-pack",
                headers: [
                    Site.authorization, Self.pushType, ("Expect", "100-continue"),
                    ("Content-Length", "\(fixture.push.count)"),
                ])
            let first = try exchange.receive(until: "\r\n\r\n")
            #expect(text(first).hasPrefix("HTTP/1.1 100 Continue"))
            try exchange.send(fixture.push)
            #expect(try exchange.response().text.contains("ok refs/heads/main"))
        }

        // MARK: Keep-alive

        private static let keepAlive = Array("0005\u{2}".utf8)
        private static let sideBand = "report-status side-band-64k"

        /// Starts a push that is held at a fault point, with a keep-alive interval of 200 ms.
        private func held(
            at point: String, options: [String] = [], _ capabilities: String = Self.sideBand,
            _ body: (Fixture, HTTPExchange, _ release: () throws -> Void) throws -> Void
        ) throws {
            let barrier = try TemporaryDirectory()
            try barrier.file("go", "")
            let site = try Site(
                .file, options: ["--push-keepalive", "200ms"] + options,
                environment: ["GIT_S3_BACKEND_FAULT": "\(point)=barrier:\(barrier.path)"])
            let fixture = try Fixture(site, capabilities)
            for name in try Files.names(in: barrier.path) {
                Files.removeTree("\(barrier.path)/\(name)")
            }
            let exchange = try HTTPExchange(
                port: site.nginx.port, "POST", "/git/\(fixture.repository).git/git-receive-pack",
                headers: [
                    Site.authorization, Self.pushType,
                    ("Content-Length", "\(fixture.push.count)"),
                ])
            try exchange.send(fixture.push)
            try wait(for: "the push to be held") { try !Files.names(in: barrier.path).isEmpty }
            try body(fixture, exchange) { try barrier.file("go", "") }
            #expect(try site.instance.workspaces() == [])
        }

        private func count(_ needle: String, in text: String) -> Int {
            text.ranges(of: needle).count
        }

        @Test(arguments: ["push-received", "push-stored"])
        func heldPushBeginsItsAnswerAndSaysOkOnlyAfterTheSwap(point: String) throws {
            try held(at: point) { fixture, exchange, release in
                let pointer = try fixture.site.bucket.pointer(of: fixture.repository)
                var early: [UInt8] = []
                try wait(for: "keep-alives") {
                    early += try exchange.receive()
                    return count("0005\u{2}", in: text(early)) >= 3
                }
                #expect(text(early).hasPrefix("HTTP/1.1 200 OK"))
                #expect(!text(early).contains("unpack ok"))
                #expect(!text(early).contains("refs/heads/main"))
                #expect(try fixture.site.bucket.pointer(of: fixture.repository) == pointer)
                try release()
                let late = try exchange.receive(until: "0000\r\n0\r\n\r\n")
                #expect(text(late).contains("unpack ok"), "\(text(late))")
                #expect(text(late).contains("ok refs/heads/main"))
                #expect(try fixture.site.bucket.pointer(of: fixture.repository) != pointer)
                try expectServed(fixture.site, fixture.repository, equals: fixture.tree)
            }
        }

        @Test func nothingIsSentBeforeTheSwapWithoutSideBands() throws {
            try held(at: "push-received", "report-status") { fixture, exchange, release in
                let end = ContinuousClock.now + .milliseconds(700)
                try wait(for: "the time to pass") { ContinuousClock.now >= end }
                #expect(try !exchange.hasReceived())
                try release()
                #expect(try exchange.response().text.contains("ok refs/heads/main"))
            }
        }

        @Test func lostPushIsReportedForEachRefOnceTheAnswerHasBegun() throws {
            try held(at: "push-received", options: ["--push-attempts", "1"]) {
                fixture, exchange, release in
                let site = fixture.site
                var setup = site.setup
                setup.environment = [:]
                let another = try Site(setup)
                let rival = try WorkTree.clone(another.url(fixture.repository), "-q")
                try rival.commit("theirs")
                try rival.git("push", "-q", "origin", "main")
                let early = try exchange.receive(until: "0005\u{2}\r\n")
                #expect(text(early).hasPrefix("HTTP/1.1 200 OK"))
                try release()
                let late = text(try exchange.receive(until: "0000\r\n0\r\n\r\n"))
                #expect(late.contains("ng refs/heads/main "), "\(late)")
                #expect(!late.contains("ok refs/"))
                try expectServed(another, fixture.repository, equals: rival)
            }
        }

        @Test func storeFailureIsReportedForEachRefAfterKeepAlives() throws {
            try held(at: "push-received") { fixture, exchange, release in
                let bucket = fixture.site.bucket
                let pointer = Bucket.Item.pointer(fixture.repository)
                let before = try #require(try bucket.read(pointer))
                _ = try exchange.receive(until: "0005\u{2}\r\n")
                try bucket.delete(pointer)
                try release()
                let late = text(try exchange.receive(until: "0000\r\n0\r\n\r\n"))
                #expect(late.contains("ng refs/heads/main "), "\(late)")
                #expect(!late.contains("ok refs/"))
                try bucket.overwrite(pointer, with: before)
            }
        }
    }
}
