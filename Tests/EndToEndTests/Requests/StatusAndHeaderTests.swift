import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct StatusAndHeaderTests {
        static let site = Result { try Site(.file, options: ["--max-body", "100K"]) }

        static let pushType = (
            name: "Content-Type", value: "application/x-git-receive-pack-request"
        )
        static let fetchType = (
            name: "Content-Type", value: "application/x-git-upload-pack-request"
        )
        static let gzipped = (name: "Content-Encoding", value: "gzip")

        func path(_ repository: String, _ tail: String) -> String {
            "/git/\(repository).git/\(tail)"
        }

        /// Expects an error in plain text, with the headers that every answer has.
        func expectPlainError(
            _ answer: HTTPMessage, _ status: Int, sourceLocation: SourceLocation = #_sourceLocation
        ) {
            #expect(
                answer.status == status, "\(answer.start) \(answer.text)",
                sourceLocation: sourceLocation)
            let type = answer.header("Content-Type")
            #expect(type == "text/plain; charset=utf-8", sourceLocation: sourceLocation)
            expectCommonHeaders(answer, sourceLocation: sourceLocation)
        }

        func expectCommonHeaders(
            _ answer: HTTPMessage, sourceLocation: SourceLocation = #_sourceLocation
        ) {
            #expect(
                answer.header("Cache-Control") == "no-cache, max-age=0, must-revalidate",
                sourceLocation: sourceLocation)
            #expect(answer.header("Pragma") == "no-cache", sourceLocation: sourceLocation)
            #expect(
                answer.header("Expires") == "Fri, 01 Jan 1980 00:00:00 GMT",
                sourceLocation: sourceLocation)
            #expect(
                answer.header("X-Request-Id")?.count == 16, sourceLocation: sourceLocation)
        }

        // MARK: The client's errors

        @Test func missingRepositoryIs404() throws {
            let site = try Self.site.get()
            for target in [
                "/git/team/none.git/info/refs?service=git-upload-pack", "/git/team/none.git/x",
                "/git/team", "/git/", "/git/a/b/c/d", "/git/team/.x/info/refs",
                "/git/team/none.git/git-upload-archive",
            ] {
                let answer = try site.http.send("GET", target)
                expectPlainError(answer, 404)
                #expect(answer.text.hasPrefix("Repository not found. (request "), "\(target)")
            }
            let push = try site.http.send(
                "POST", path("team/none", "git-receive-pack"),
                headers: [Site.authorization, Self.pushType], body: .bytes(PktLines.flush))
            expectPlainError(push, 404)
            let fetch = try site.http.send(
                "POST", path("team/none", "git-upload-pack"), headers: [Self.fetchType],
                body: .bytes(PktLines.flush))
            expectPlainError(fetch, 404)
        }

        @Test func gitShowsThePersonWhatIsWrongWithTheURL() throws {
            let site = try Self.site.get()
            let (_, clone) = try WorkTree.attemptClone(site.anonymousURL("team/none"), [])
            #expect(clone.errors.contains("remote: Repository not found."), "\(clone)")
            #expect(clone.errors.contains("not found"), "\(clone)")
        }

        @Test func dumbProtocolAndUnknownServicesAre403() throws {
            let site = try Self.site.get()
            let repository = try site.create()
            for tail in [
                "info/refs", "info/refs?x=y", "info/refs?service=git-upload-archive",
                "info/refs?service=", "HEAD", "objects/info/packs", "objects/ab/cd",
                "objects/info/alternates", "objects/pack/pack-1.idx",
            ] {
                expectPlainError(try site.http.send("GET", path(repository, tail)), 403)
            }
            let git = try GitClient()
            let dumb = try git.run(
                ["ls-remote", site.anonymousURL(repository)],
                environment: ["GIT_SMART_HTTP": "0"])
            #expect(dumb.errors.contains("only git's smart HTTP protocol"), "\(dumb)")
        }

        @Test func wrongMethodsAre405AndSayWhichIsRight() throws {
            let site = try Self.site.get()
            let repository = try site.create()
            let cases: [(String, String, String)] = [
                ("POST", "info/refs?service=git-upload-pack", "GET, HEAD"),
                ("PUT", "info/refs?service=git-upload-pack", "GET, HEAD"),
                ("DELETE", "info/refs?service=git-upload-pack", "GET, HEAD"),
                ("GET", "git-upload-pack", "POST"), ("HEAD", "git-upload-pack", "POST"),
                ("PUT", "git-upload-pack", "POST"), ("DELETE", "git-upload-pack", "POST"),
                ("GET", "git-receive-pack", "POST"), ("PUT", "git-receive-pack", "POST"),
                ("DELETE", "git-receive-pack", "POST"),
            ]
            for (method, tail, allowed) in cases {
                let answer = try site.http.send(
                    method, path(repository, tail), headers: [Site.authorization])
                expectPlainError(answer, 405)
                #expect(answer.header("Allow") == allowed, "\(method) \(tail)")
                if method == "HEAD" { #expect(answer.body.isEmpty) }
            }
        }

        @Test func wrongContentTypeOrEncodingIs415() throws {
            let site = try Self.site.get()
            let repository = try site.create()
            for type in ["text/plain", "application/x-git-upload-pack-result", ""] {
                for tail in ["git-upload-pack", "git-receive-pack"] {
                    let answer = try site.http.send(
                        "POST", path(repository, tail),
                        headers: [Site.authorization, ("Content-Type", type)],
                        body: .bytes(PktLines.flush))
                    expectPlainError(answer, 415)
                }
            }
            let crossed = try site.http.send(
                "POST", path(repository, "git-upload-pack"), headers: [Self.pushType],
                body: .bytes(PktLines.flush))
            expectPlainError(crossed, 415)
            for encoding in ["br", "deflate", "gzip, gzip", "compress"] {
                let answer = try site.http.send(
                    "POST", path(repository, "git-upload-pack"),
                    headers: [Self.fetchType, ("Content-Encoding", encoding)],
                    body: .bytes(PktLines.flush))
                expectPlainError(answer, 415)
            }
        }

        @Test func bodyOverTheLimitIs413HoweverItComes() throws {
            let site = try Self.site.get()
            let repository = try site.create()
            let line = PktLines.line("want \(String(repeating: "a", count: 40))\n")
            let large = Array((0..<3000).map { _ in line }.joined()) + PktLines.flush
            let chunks = stride(from: 0, to: large.count, by: 10_000).map {
                Array(large[$0..<min($0 + 10_000, large.count)])
            }
            let bodies: [([(name: String, value: String)], HTTPClient.Body)] = [
                ([], .bytes(large)), ([], .chunks(chunks)),
                ([Self.gzipped], .bytes(try gzip(large))),
                ([Self.gzipped], .chunks([try gzip(large)])),
            ]
            let before = try site.bucket.listing()
            for (headers, body) in bodies {
                let answer = try site.http.send(
                    "POST", path(repository, "git-upload-pack"),
                    headers: headers + [Self.fetchType], body: body)
                expectPlainError(answer, 413)
            }

            let id = String(repeating: "a", count: 40)
            let push = PushBody(
                [.init(old: nil, new: id, "refs/heads/main")], capabilities: "report-status",
                pack: Array(repeating: 7, count: 200_000)
            ).bytes
            let pushes: [([(name: String, value: String)], HTTPClient.Body)] = [
                ([], .bytes(push)), ([], .chunks([push])), ([Self.gzipped], .bytes(try gzip(push))),
                ([Self.gzipped], .chunks([try gzip(push)])),
            ]
            for (number, (headers, body)) in pushes.enumerated() {
                let answer = try site.http.send(
                    "POST", path(repository, "git-receive-pack"),
                    headers: headers + [Site.authorization, Self.pushType], body: body)
                // W10: once the commands are read, the answer is a report, since git shows only the
                // number of a 413.
                if number == 0 {
                    expectPlainError(answer, 413)
                } else {
                    #expect(answer.status == 200)
                    let line = "ng refs/heads/main The request body is larger than 102400 bytes."
                    #expect(answer.text.contains(line), "\(answer)")
                }
            }
            #expect(try site.bucket.listing() == before)
            #expect(try site.instance.workspaces() == [])
        }

        @Test func bodyThatCannotBeUnderstoodIs400() throws {
            let site = try Self.site.get()
            let (repository, tree) = try seeded(site)
            let wants = Site.wants([try tree.git("rev-parse", "HEAD")])
            let bodies: [([(name: String, value: String)], [UInt8])] = [
                ([], Array("no pkt-line".utf8)), ([], Array(wants.dropLast(3))),
                ([Self.gzipped], wants), ([Self.gzipped], Array(try gzip(wants).dropLast(4))),
            ]
            for (headers, bytes) in bodies {
                let answer = try site.http.send(
                    "POST", path(repository, "git-upload-pack"),
                    headers: headers + [Self.fetchType], body: .bytes(bytes))
                expectPlainError(answer, 400)
            }
        }

        // MARK: Successes

        @Test func goodAnswersHaveTheirTypesAndAreNotCached() throws {
            let site = try Self.site.get()
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "HEAD")
            for service in ["git-upload-pack", "git-receive-pack"] {
                let answer = try site.advertisement(
                    repository, service: service, headers: [Site.authorization])
                #expect(answer.status == 200)
                #expect(
                    answer.header("Content-Type") == "application/x-\(service)-advertisement")
                #expect(answer.text.hasPrefix("00"))
                #expect(answer.text.contains("# service=\(service)\n0000"))
                expectCommonHeaders(answer)
            }
            let fetch = try site.fetch(repository, [tip])
            #expect(fetch.status == 200)
            #expect(fetch.header("Content-Type") == "application/x-git-upload-pack-result")
            expectCommonHeaders(fetch)
            let list = try site.http.send(
                "POST", path(repository, "git-upload-pack"),
                headers: [Self.fetchType, ("Git-Protocol", "version=2")],
                body: .bytes(PktLines.line("command=ls-refs\n") + PktLines.flush))
            #expect(list.text.contains("\(tip) refs/heads/main\n"))
            #expect(list.header("Content-Type") == "application/x-git-upload-pack-result")
            expectCommonHeaders(list)
            let next = try tree.commit("next")
            let push = try site.push(
                to: repository,
                PushBody(
                    [.init(old: tip, new: next, "refs/heads/main")], capabilities: "report-status",
                    pack: try tree.pack([next, "^\(tip)"])))
            #expect(push.text.contains("ok refs/heads/main"))
            #expect(push.header("Content-Type") == "application/x-git-receive-pack-result")
            expectCommonHeaders(push)
        }

        @Test func headHasTheHeadOfGetAndNoBody() throws {
            let site = try Self.site.get()
            let (repository, _) = try seeded(site)
            for (name, service) in [
                (repository, "git-upload-pack"), (repository, "git-receive-pack"),
                (repository, "git-nonsense"), ("team/none", "git-upload-pack"),
            ] {
                let target = path(name, "info/refs?service=\(service)")
                let answers = try ["GET", "HEAD"].map {
                    try site.http.send($0, target, headers: [Site.authorization])
                }
                let heads = answers.map { answer in
                    // These headers differ in each answer.
                    let own: Set = ["x-request-id", "date", "content-length", "transfer-encoding"]
                    return answer.headers.filter { !own.contains($0.name.lowercased()) }
                        .map { "\($0.name): \($0.value)" } + [answer.start]
                }
                #expect(heads[0] == heads[1])
                #expect(!answers[0].body.isEmpty)
                #expect(answers[1].body.isEmpty)
            }
        }

        @Test func clientsProbeIsAnsweredAtOnceByBothServices() throws {
            let site = try Self.site.get()
            let (repository, _) = try seeded(site)
            for (tail, type) in [
                ("git-upload-pack", Self.fetchType), ("git-receive-pack", Self.pushType),
            ] {
                for body in [HTTPClient.Body.bytes(PktLines.flush), .chunks([PktLines.flush])] {
                    let answer = try site.http.send(
                        "POST", path(repository, tail), headers: [Site.authorization, type],
                        body: body)
                    #expect(answer.status == 200)
                    #expect(answer.body.isEmpty)
                    #expect(answer.header("Content-Type") == "application/x-\(tail)-result")
                }
            }
            let anonymous = try site.http.send(
                "POST", path(repository, "git-receive-pack"), headers: [Self.pushType],
                body: .bytes(PktLines.flush))
            #expect(anonymous.status == 401)
        }

        @Test func everyRequestHasItsOwnIdentifier() throws {
            let site = try Self.site.get()
            let repository = try site.create()
            let identifiers = try (0..<20).map { _ in
                try #require(try site.advertisement(repository).header("X-Request-Id"))
            }
            #expect(Set(identifiers).count == 20)
            #expect(identifiers.allSatisfy { $0.allSatisfy(\.isHexDigit) })
        }
    }
}
