import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// One process per request, configured only by variables.
    @Suite(.tags(.front)) struct CGITests {
        private static let fetch = ["CONTENT_TYPE": "application/x-git-upload-pack-request"]
        private static let push = [
            "CONTENT_TYPE": "application/x-git-receive-pack-request", "REMOTE_USER": "alice",
        ]

        /// A repository of the shared site, accessed by CGI without that site.
        private struct Fixture {
            let cgi: CGIRun
            let site: Site
            let state: TemporaryDirectory
            let repository: String
            let tree: WorkTree
            let tip: String
            let next: String
            let body: [UInt8]

            init(_ store: StoreUnderTest = .file, environment: [String: String] = [:]) throws {
                site = try Site.shared(store)
                state = try TemporaryDirectory()
                var setup = site.setup
                // On SeaweedFS the admission record of the shared site is used.
                if store == .file { setup.state = state }
                setup.environment = environment
                cgi = try CGIRun(setup)
                (repository, tree) = try seeded(site)
                tip = try tree.git("rev-parse", "HEAD")
                next = try tree.commit("next")
                body =
                    PushBody(
                        [.init(old: tip, new: next, "refs/heads/main")],
                        capabilities: "report-status", pack: try tree.pack([next, "^\(tip)"])
                    ).bytes
            }

            func path(_ tail: String) -> String { "/\(repository).git/\(tail)" }
        }

        @Test(arguments: stores)
        func refsFetchAndPushAreAnswered(store: StoreUnderTest) throws {
            let fixture = try Fixture(store)
            for (version, beginning) in [
                (0, "001e# service=git-upload-pack\n0000"), (2, "000eversion 2\n"),
            ] {
                let refs = try fixture.cgi.request(
                    "GET", fixture.path("info/refs"), query: "service=git-upload-pack",
                    variables: ["HTTP_GIT_PROTOCOL": "version=\(version)"])
                // G4: as `git http-backend` does.
                #expect(refs.header("Status") == nil)
                #expect(refs.status == 200)
                #expect(refs.text.hasPrefix(beginning), "\(refs.text)")
                #expect(
                    refs.header("Content-Type") == "application/x-git-upload-pack-advertisement")
                if version == 0 { #expect(refs.text.contains("\(fixture.tip) refs/heads/main\n")) }
            }
            let list = try fixture.cgi.request(
                "POST", fixture.path("git-upload-pack"),
                variables: Self.fetch.merging(["HTTP_GIT_PROTOCOL": "version=2"]) { $1 },
                body: PktLines.line("command=ls-refs\n") + PktLines.flush)
            let lines = ["HEAD", "refs/heads/main"].map { PktLines.line("\(fixture.tip) \($0)\n") }
            #expect(list.body == Array(lines.joined()) + PktLines.flush, "\(list.text)")

            let fetch = try fixture.cgi.request(
                "POST", fixture.path("git-upload-pack"), variables: Self.fetch,
                body: Site.wants([fixture.tip]))
            #expect(fetch.status == 200)
            #expect(fetch.text.hasPrefix("0008NAK\nPACK"))

            let push = try fixture.cgi.request(
                "POST", fixture.path("git-receive-pack"), variables: Self.push, body: fixture.body)
            #expect(push.status == 200)
            #expect(push.text.contains("ok refs/heads/main"))
            #expect(push.header("Content-Type") == "application/x-git-receive-pack-result")
            try expectServed(fixture.site, fixture.repository, equals: fixture.tree)
        }

        @Test func gzipBodyAndBodyWithoutALengthAreTaken() throws {
            let fixture = try Fixture()
            let zipped = try gzip(Site.wants([fixture.tip]))
            let fetch = try fixture.cgi.request(
                "POST", fixture.path("git-upload-pack"),
                variables: Self.fetch.merging(["HTTP_CONTENT_ENCODING": "gzip"]) { $1 },
                body: zipped)
            #expect(fetch.text.contains("PACK"))
            let push = try fixture.cgi.run(
                "POST", fixture.path("git-receive-pack"), variables: Self.push,
                input: .bytes(fixture.body))
            #expect(push.text.contains("ok refs/heads/main"), "\(push)")
        }

        @Test func nothingIsCompactedByAProcessThatAnswersOneRequest() throws {
            let fixture = try Fixture(environment: ["GIT_S3_BACKEND_COMPACT_AT": "1"])
            let push = try fixture.cgi.run(
                "POST", fixture.path("git-receive-pack"), variables: Self.push,
                input: .bytes(fixture.body))
            #expect(push.text.contains("ok refs/heads/main"), "\(push)")
            #expect(push.errors.contains("push published"))
            #expect(!push.errors.contains("compaction started"))
            #expect(try fixture.site.bucket.packs(of: fixture.repository).count == 2)
        }

        @Test func errorsHaveTheirStatus() throws {
            let fixture = try Fixture()
            let cases: [(String, String, String, [String: String], [UInt8], Int)] = [
                ("GET", "/team/none/info/refs", "service=git-upload-pack", [:], [], 404),
                ("GET", "/", "", [:], [], 404), ("GET", "", "", [:], [], 404),
                ("GET", fixture.path("info/refs"), "", [:], [], 403),
                ("GET", fixture.path("info/refs"), "service=git-receive-pack", [:], [], 403),
                (
                    "GET", fixture.path("info/refs"), "service=git-receive-pack",
                    ["REMOTE_USER": ""], [], 403
                ),
                ("PUT", fixture.path("git-upload-pack"), "", [:], [], 405),
                ("", fixture.path("git-upload-pack"), "", [:], [], 405),
                ("POST", fixture.path("git-upload-pack"), "", [:], PktLines.flush, 415),
                (
                    "POST", fixture.path("git-receive-pack"), "",
                    ["CONTENT_TYPE": "application/x-git-receive-pack-request"], fixture.body, 403
                ),
                (
                    "POST", fixture.path("git-receive-pack"), "",
                    Self.push.merging(["GIT_S3_BACKEND_MAX_BODY": "100"]) { $1 }, fixture.body, 413
                ),
                (
                    "POST", fixture.path("git-upload-pack"), "",
                    Self.fetch.merging(["CONTENT_LENGTH": "-1"]) { $1 }, PktLines.flush, 400
                ),
                (
                    "POST", fixture.path("git-upload-pack"), "",
                    Self.fetch.merging(["CONTENT_LENGTH": "1e3"]) { $1 }, PktLines.flush, 400
                ),
            ]
            let before = try fixture.site.bucket.listing()
            for (method, path, query, variables, body, status) in cases {
                let answer = try fixture.cgi.request(
                    method, path, query: query, variables: variables, body: body)
                #expect(answer.status == status, "\(method) \(path): \(answer.start)")
                #expect(answer.header("X-Request-Id") != nil)
            }
            #expect(try fixture.site.bucket.listing() == before)
        }

        @Test func bodyShorterThanAnnouncedIs400AndPublishesNothing() throws {
            let fixture = try Fixture()
            let pointer = try fixture.site.bucket.pointer(of: fixture.repository)
            for cut in [0, 3, 100, fixture.body.count - 1] {
                let result = try fixture.cgi.run(
                    "POST", fixture.path("git-receive-pack"), variables: Self.push,
                    input: .bytes(Array(fixture.body.prefix(cut))), length: fixture.body.count)
                #expect(result.text.hasPrefix("Status: 400 "), "\(cut): \(result)")
            }
            #expect(try fixture.site.bucket.pointer(of: fixture.repository) == pointer)
            #expect(try Files.names(in: fixture.state.path + "/workspaces") == [])
        }

        @Test func withoutAStoreThereIs503AndTheLogSaysWhy() throws {
            for extra in [[:], ["GIT_PROJECT_ROOT": "/srv/git", "GIT_HTTP_EXPORT_ALL": "1"]] {
                let state = try TemporaryDirectory()
                let result = try Command(
                    try Programs.server(), [],
                    environment: [
                        "PATH": "/usr/bin:/bin", "GATEWAY_INTERFACE": "CGI/1.1",
                        "REQUEST_METHOD": "GET", "PATH_INFO": "/team/r.git/info/refs",
                        "QUERY_STRING": "service=git-upload-pack",
                        "GIT_S3_BACKEND_STATE_DIR": state.path,
                    ].merging(extra) { $1 }
                ).run()
                #expect(result.ending == .exited(1))
                #expect(result.text.hasPrefix("Status: 503 Service Unavailable\r\n"))
                #expect(result.text.contains("The server is not set up; see its log."))
                #expect(result.errors.contains("GIT_S3_BACKEND_STORE"), "\(result)")
                // Users of `git http-backend` learn that its directory is ignored.
                #expect(
                    result.errors.contains("GIT_PROJECT_ROOT is for git http-backend") == !extra
                        .isEmpty)
            }
        }

        @Test func badVariableIs503AndTheLogNamesIt() throws {
            let fixture = try Fixture()
            for (name, value) in [
                ("MAX_BODY", "much"), ("GIT_TIMEOUT", "soon"), ("LOG_LEVEL", "loud"),
                ("STORE", "ftp://x"), ("MAX_GIT", "0"),
            ] {
                let result = try fixture.cgi.run(
                    "GET", fixture.path("info/refs"), query: "service=git-upload-pack",
                    variables: ["GIT_S3_BACKEND_\(name)": value])
                #expect(result.text.hasPrefix("Status: 503 "), "\(result)")
                #expect(result.errors.contains("GIT_S3_BACKEND_\(name)"), "\(result)")
            }
        }

        @Test func argumentsFromTheQueryAreNoOrders() throws {
            let fixture = try Fixture()
            let result = try Command(
                try Programs.server(), ["create", "team/by-query"],
                environment: fixture.cgi.environment("GET", "/team/by-query/info/refs")
            ).run()
            #expect(result.text.hasPrefix("Status: 403 "), "\(result)")
            #expect(try fixture.site.bucket.read(.pointer("team/by-query")) == nil)
        }

        @Test func storeIsProbedOnceAndNotByEveryProcess() throws {
            let fixture = try Fixture()
            let admitted = try (0..<3).map { _ in
                try fixture.cgi.run(
                    "GET", fixture.path("info/refs"), query: "service=git-upload-pack"
                ).errors.contains("store passed the conformance probe")
            }
            #expect(admitted == [true, false, false])
        }

        @Test(arguments: ["push-started", "push-hydrated", "push-received", "push-stored"])
        func endedInTheMiddleOfAPushItLeavesAndPublishesNothing(point: String) throws {
            let barrier = try TemporaryDirectory()
            let fixture = try Fixture(
                environment: ["GIT_S3_BACKEND_FAULT": "\(point)=barrier:\(barrier.path)"])
            let pointer = try fixture.site.bucket.pointer(of: fixture.repository)
            let environment = fixture.cgi.environment(
                "POST", fixture.path("git-receive-pack"), length: fixture.body.count
            ).merging(Self.push) { $1 }
            let child = try Command(
                Programs.server(), [], environment: environment, input: .bytes(fixture.body)
            ).start()
            try wait(for: "the push to be held") { try !Files.names(in: barrier.path).isEmpty }
            child.signal(SIGTERM)
            let result = try child.finish()
            #expect(result.ending == .exited(128 + SIGTERM))
            #expect(!result.text.contains("ok refs"))
            #expect(try Files.names(in: fixture.state.path + "/workspaces") == [])
            #expect(try fixture.site.bucket.pointer(of: fixture.repository) == pointer)
        }

        @Test func silentBodyEndsTheRequest() throws {
            let fixture = try Fixture(
                environment: ["GIT_S3_BACKEND_FAULT": "push-patience=1000"])
            let pipe = try OwnedDescriptor.pipe()
            let environment = fixture.cgi.environment(
                "POST", fixture.path("git-receive-pack")
            ).merging(Self.push) { $1 }
            let child = try Command(
                Programs.server(), [], environment: environment, input: .descriptor(pipe.first.raw)
            ).start()
            try writeAll(pipe.second.raw, Array(fixture.body.prefix(fixture.body.count - 10)))
            try wait(for: "the answer", upTo: .seconds(20)) { child.hasEnded }
            let answer = try child.finish().text
            #expect(answer.contains("Status: 408 "), "\(answer)")
        }
    }
}
