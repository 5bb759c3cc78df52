import Bytes
import GitProtocol
import Glibc
import Logging
import ObjectStore
import Posix
import Repository
import Synchronization
import TestSupport
import Testing

@testable import Gateway

/// Log lines about requests, and that the body of a refused request is read.
@Suite struct RequestLineTests {
    private typealias Site = ResponderPushTests.Site

    /// A log in memory.
    private final class Lines: Sendable {
        struct Line: Sendable {
            let level: Logger.Level
            let message: String
            let fields: [String: String]
        }

        private struct Handler: LogHandler {
            let lines: Lines
            var logLevel = Logger.Level.info
            var metadata: Logger.Metadata = [:]
            var metadataProvider: Logger.MetadataProvider?

            init(_ lines: Lines) { self.lines = lines }

            subscript(metadataKey key: String) -> Logger.Metadata.Value? {
                get { metadata[key] }
                set { metadata[key] = newValue }
            }

            func log(event: LogEvent) {
                let all = metadata.merging(event.metadata ?? [:]) { $1 }
                lines.taken.withLock {
                    $0.append(
                        Line(
                            level: event.level, message: "\(event.message)",
                            fields: all.mapValues { "\($0)" }))
                }
            }
        }

        private let taken = Mutex<[Line]>([])

        func logger(_ level: Logger.Level) -> Logger {
            var logger = Logger(label: "test") { [self] _ in Handler(self) }
            logger.logLevel = level
            return logger
        }

        /// The lines that were logged since the last call.
        func take() -> [Line] {
            taken.withLock { taken in
                defer { taken = [] }
                return taken
            }
        }
    }

    private let lines = Lines()

    private func site(
        _ level: Logger.Level = .debug, attempts: Int = 1,
        around: @escaping (MemoryStore) -> any ObjectStore = { $0 }
    ) throws -> Site {
        try Site(attempts: attempts, log: lines.logger(level), around: around)
    }

    /// The only line about the last request.
    private func theLine(
        _ message: String, _ level: Logger.Level, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> [String: String] {
        let all = lines.take().filter { $0.message.hasPrefix("request ") }
        #expect(all.count == 1, "\(all)", sourceLocation: sourceLocation)
        let line = try #require(all.first, sourceLocation: sourceLocation)
        #expect(line.message == message, "\(line)", sourceLocation: sourceLocation)
        #expect(line.level == level, "\(line)", sourceLocation: sourceLocation)
        #expect(line.fields["request.id"] == "id", sourceLocation: sourceLocation)
        return line.fields
    }

    @discardableResult
    private func request(
        _ site: Site, _ method: String, _ path: String, _ more: [String: String] = [:],
        _ connection: FakeConnection = FakeConnection()
    ) -> FakeConnection {
        let variables = [
            "REQUEST_METHOD": method, "PATH_INFO": path, "REMOTE_ADDR": "192.0.2.7",
        ]
        site.responder.respond(to: .with(variables.merging(more) { $1 }), on: connection)
        return connection
    }

    @Test func servedRequestsHaveOneLineWithTheirCost() throws {
        let site = try site()
        request(
            site, "GET", "/owner/repo/info/refs",
            ["QUERY_STRING": "service=git-receive-pack", "REMOTE_USER": "alice"])
        var fields = try theLine("request served", .info)
        #expect(fields["request.route"] == "refs-for-push")
        #expect(fields["request.user"] == "alice")
        #expect(fields["client.address"] == "192.0.2.7")
        #expect(fields["repo.name"] == "owner/repo")
        #expect(fields["http.status"] == "200")
        #expect(fields["request.bytes"] == "0")
        #expect(fields["store.requests"] == "2")

        let (commit, body) = try site.request("report-status")
        #expect(site.push(body).status == 200)
        let all = lines.take()
        #expect(all.map(\.message) == ["push published", "request served"])
        fields = try #require(all.last?.fields)
        #expect(fields["request.route"] == "push" && fields["push.user"] == "somebody")
        #expect(fields["request.bytes"] == "\(body.count)")
        let report = "000eunpack ok\n0017ok refs/heads/main\n0000"
        #expect(fields["response.bytes"] == "\(report.utf8.count)")
        // The pointer, the manifest, the pack, its index and the next manifest, the swap.
        #expect(fields["store.requests"] == "6", "\(fields)")
        for key in ["total", "resolved", "body", "slot", "hydrated", "git", "swapped"] {
            let time = try #require(fields["time.\(key)"], "\(key)")
            #expect(time.wholeMatch(of: /\d+\.\d\d\d/) != nil, "\(time)")
        }

        var wants: [UInt8] = []
        PktLine.append(Array("want \(commit)\n".utf8), to: &wants)
        wants += PktLine.flushBytes
        PktLine.append(Array("done\n".utf8), to: &wants)
        let answer = request(
            site, "POST", "/owner/repo/git-upload-pack",
            ["CONTENT_TYPE": "application/x-git-upload-pack-request"], FakeConnection([wants]))
        fields = try theLine("request served", .info)
        #expect(fields["request.route"] == "fetch" && fields["request.user"] == nil)
        #expect(fields["response.bytes"] == "\(answer.body.count)" && !answer.body.isEmpty)
        #expect(fields["request.bytes"] == "\(wants.count)")
        #expect(fields["time.git"] != nil && fields["time.swapped"] == nil)
        // G4: as `git http-backend` does.
        #expect(!answer.text.contains("Status:"))
    }

    @Test func probeOfTheClientIsLoggedAtDebug() throws {
        let site = try site()
        for (tail, route) in [("git-upload-pack", "fetch"), ("git-receive-pack", "push")] {
            request(
                site, "POST", "/owner/repo/\(tail)",
                ["CONTENT_TYPE": "application/x-\(tail)-request", "REMOTE_USER": "alice"],
                FakeConnection([PktLine.flushBytes]))
            #expect(try theLine("request served", .debug)["request.route"] == route)
        }
    }

    // L3
    @Test func refusedPushIsLoggedWithItsUserAndFirstReason() throws {
        let site = try site()
        let stale = String(repeating: "1", count: 40)
        for (capabilities, told, message) in [
            // The other ref is published.
            ("report-status", 200, "request served"),
            ("report-status atomic", 200, "request refused"),
            ("", 403, "request refused"),
        ] {
            let (_, funny) = try site.request(
                capabilities, to: ["refs/heads/a b", "refs/heads/fine"])
            // git itself refuses an old value that the ref does not have.
            let (_, old) = try site.request(
                capabilities, to: ["refs/heads/new\(told)", "refs/heads/x"], old: stale)
            var pushes = [(funny, "'refs/heads/a b' was refused: funny refname.")]
            // git refuses the other ref of an atomic push first.
            if !capabilities.contains("atomic") {
                pushes.append((old, "'refs/heads/x' was refused: "))
            }
            for (body, reason) in pushes {
                #expect(site.push(body, user: "bob").status == told)
                let fields = try theLine(message, .info)
                #expect(fields["push.user"] == "bob")
                #expect(fields["push.refusal"]?.hasPrefix(reason) == true, "\(fields)")
                #expect(fields["http.status"] == "\(told)")
            }
        }
    }

    // L3: a lost race, reported by ng and by 409.
    @Test func lostRaceHasOneLineAtInfo() throws {
        for (capabilities, attempts, status) in [
            ("report-status", 5, 200), ("", 5, 409), ("report-status", 1, 409),
        ] {
            let name = try #require(RefName("refs/heads/main"))
            let site = try site(attempts: attempts) { memory in
                FaultyStore(
                    wrapping: memory,
                    [
                        FaultRule(
                            .interleave { store in Self.move(name, in: store) },
                            keys: { $0.path.hasSuffix("/pointer") }, limit: 1)
                    ])
            }
            let (_, body) = try site.request(capabilities + " atomic")
            #expect(site.push(body, user: "bob").status == status)
            let fields = try theLine("request refused", .info)
            #expect(fields["push.user"] == "bob")
            #expect(
                fields["push.refusal"]?.contains("another push came first") == true, "\(fields)")
            #expect(fields["http.status"] == "\(status)")
        }
    }

    private static func move(_ name: RefName, in store: any ObjectStore) {
        do {
            guard let repository = RepositoryName("owner/repo"),
                case .live(let snapshot) = try Manifests(store).resolve(repository),
                let id = ObjectID(Array(Hex.random(bytes: 20).utf8))
            else { throw TestFailure("nothing to move") }
            var manifest = snapshot.manifest
            manifest.refs[name] = id
            guard
                case .won = try Swap(of: repository, from: snapshot, in: Manifests(store))
                    .publish(manifest, with: [])
            else { throw TestFailure("a swap was lost") }
        } catch {
            Issue.record(error)
        }
    }

    // L4
    @Test func refusalsOfStrangersAreAtDebugAndOfUsersAtInfo() throws {
        let site = try site()
        for (method, path, status) in [
            ("GET", "/owner/none/info/refs", "404"), ("GET", "/x\u{1b}[2J", "404"),
            ("GET", "/owner/repo/HEAD", "403"), ("PUT", "/owner/repo/git-upload-pack", "405"),
            ("POST", "/owner/repo/git-receive-pack", "415"),
        ] {
            let query = ["QUERY_STRING": "service=git-upload-pack"]
            request(site, method, path, query)
            var fields = try theLine("request refused", .debug)
            #expect(fields["http.status"] == status)
            #expect(fields["client.address"] == "192.0.2.7")
            #expect(fields["repo.name"] != nil || fields["request.path"] == path)
            request(site, method, path, query.merging(["REMOTE_USER": "alice"]) { $1 })
            fields = try theLine("request refused", .info)
            #expect(fields["request.user"] == "alice" || fields["push.user"] == "alice")
        }
    }

    @Test func failedRequestHasOneLineAndAFloodIsCounted() throws {
        let site = try Site(log: lines.logger(.info)) { memory in
            FaultyStore(
                wrapping: memory,
                [FaultRule(.dropRequest, on: [.get], keys: { $0.path.hasSuffix("/pointer") })])
        }
        let query = ["QUERY_STRING": "service=git-upload-pack", "REMOTE_USER": "alice"]
        for _ in 0..<30 {
            request(site, "GET", "/owner/repo/info/refs", query)
            let fields = try theLine("request failed", .error)
            #expect(fields["http.status"] == "503")
            #expect(fields["error"]?.contains("Could not read") == true, "\(fields)")
        }
        let anonymous = ["QUERY_STRING": "service=git-upload-pack"]
        var seen = 0
        try wait(for: "a line that counts others") {
            request(site, "GET", "/owner/repo/info/refs", anonymous)
            let all = lines.take()
            seen += all.count
            return all.contains { Int($0.fields["log.suppressed"] ?? "") ?? 0 > 0 }
        }
        #expect(seen >= 20)
    }

    // W13
    @Test func refusedBodyIsDrainedForABoundedTime() throws {
        let site = try site()
        let chunks = Array(repeating: [UInt8](repeating: 7, count: 50_000), count: 20)
        for method in ["PUT", "PROPFIND", "DELETE", "POST", "GET"] {
            for user in ["", "alice"] {
                let variables = ["CONTENT_LENGTH": "1000000", "REMOTE_USER": user]
                let answer = request(
                    site, method, "/owner/repo/x", variables, FakeConnection(chunks))
                #expect(answer.status == 404 && answer.isDrained, "\(method)")
                #expect(answer.readingTime == (user.isEmpty ? .seconds(10) : .seconds(300)))
            }
        }
        // Without a length a GET has no body: reading from a terminal would block.
        let answer = request(site, "GET", "/owner/repo/x", [:], FakeConnection(chunks))
        #expect(answer.status == 404 && answer.readingTime == nil)
    }

    // L2
    @Test func headerInAnAnswerIsShortenedAndEscaped() throws {
        let site = try site()
        let evil = "\u{1b}[2J\u{1b}]0;owned\u{7} http.status=200 request.id=deadbeef"
        let answer = request(
            site, "POST", "/owner/repo/git-upload-pack",
            [
                "CONTENT_TYPE": "application/x-git-upload-pack-request",
                "HTTP_CONTENT_ENCODING": evil + String(repeating: "x", count: 10_000),
            ])
        #expect(answer.status == 415)
        let text = String(decoding: answer.body, as: UTF8.self)
        #expect(
            text.hasPrefix(#"Unsupported Content-Encoding '\x1b[2j\x1b]0;owned\x07 http"#),
            "\(text)")
        #expect(text.utf8.count < 200)
    }
}
