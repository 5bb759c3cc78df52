import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// Log lines about requests, for terminals and for programs.
    @Suite struct LogTests {
        private static let site = Result {
            try Site(.file, environment: ["GIT_S3_BACKEND_LOG_LEVEL": "debug"])
        }

        /// The lines logged after the first `start` bytes, as soon as one contains these words.
        private func lines(
            of instance: ServerProcess, after start: Int, with words: String
        ) throws -> [String] {
            var new: [String] = []
            try wait(for: "'\(words)' in the log") {
                // Split as bytes, since the test looks for control characters.
                let bytes = Array(instance.log.utf8).dropFirst(start)
                new = bytes.split(separator: UInt8(ascii: "\n")).map {
                    String(decoding: $0, as: UTF8.self)
                }
                return new.contains { $0.contains(words) }
            }
            return new
        }

        /// Expects lines in the program's own format that contain only printable ASCII characters.
        private func expectClean(
            _ lines: [String], sourceLocation: SourceLocation = #_sourceLocation
        ) {
            for line in lines {
                #expect(
                    line.utf8.allSatisfy { (0x20...0x7e).contains($0) }, "\(line)",
                    sourceLocation: sourceLocation)
                #expect(
                    line.contains(" git-s3-backend: ") && !line.hasPrefix("2026-01-01T"), "\(line)",
                    sourceLocation: sourceLocation)
            }
        }

        // L1
        @Test func pusherCannotWriteALineOfTheLog() throws {
            let site = try Self.site.get()
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "HEAD")
            let start = site.instance.log.utf8.count
            let name =
                "refs/heads/x\r\n2026-01-01T00:00:00+0000 info git-s3-backend: manifest.digest=feed "
                + "push.user=bob repo.name=acme/priv [Gateway] published a push\u{1b}[31m"
            let answer = try site.push(
                to: repository,
                PushBody(
                    [.init(old: nil, new: tip, name)], capabilities: "agent=x",
                    pack: PushBody.emptyPack))
            #expect(answer.status == 403)
            #expect(answer.body.filter { $0 == 10 }.count == 1, "\(answer.text)")
            #expect(answer.body.dropLast().allSatisfy { (0x20...0x7e).contains($0) })
            #expect(answer.text.contains(#"'refs/heads/x\r\n2026-01-01T"#), "\(answer.text)")

            let new = try lines(of: site.instance, after: start, with: "request refused")
            expectClean(new)
            #expect(new.count == 1, "\(new)")
            let line = try #require(new.first)
            #expect(
                line.contains(#" push.refusal="'refs/heads/x\r\n2026-01-01T00:00:00"#), "\(line)")
            #expect(
                line.contains(" push.user=alice ") && line.contains(" repo.name=\(repository) "))
            #expect(line.contains(" http.status=403 ") && line.hasSuffix("] request refused"))
            // Everything outside quotes was written by the program.
            #expect(Self.unquoted(line).contains("push.user=alice"))
            for forged in ["bob", "feed", "acme/priv", "published a push"] {
                #expect(!Self.unquoted(line).contains(forged), "\(line)")
            }
        }

        // L2
        @Test func headersCannotSendEscapesOrForgeFields() throws {
            let site = try Self.site.get()
            let repository = try site.create()
            let start = site.instance.log.utf8.count
            let answer = try FastCGI.request(
                on: try Sockets.connect(path: site.instance.socket),
                [
                    "REQUEST_METHOD": "POST", "PATH_INFO": "/\(repository).git/git-upload-pack",
                    "CONTENT_TYPE": "application/x-git-upload-pack-request",
                    "REMOTE_ADDR": "192.0.2.1",
                    "HTTP_CONTENT_ENCODING":
                        "\u{1b}[2J\u{1b}]0;owned\u{7} http.status=200 request.id=deadbeef",
                ])
            #expect(answer.status == 415)
            #expect(answer.body.dropLast().allSatisfy { (0x20...0x7e).contains($0) })
            #expect(answer.text.contains(#"\x1b"#), "\(answer.text)")
            let new = try lines(of: site.instance, after: start, with: "request refused")
            expectClean(new)
            #expect(new.count == 1, "\(new)")
            let line = Self.unquoted(try #require(new.first))
            #expect(line.contains(" http.status=415 ") && !line.contains("http.status=200"))
            #expect(!line.contains("deadbeef") && line.contains(" client.address=192.0.2.1 "))
            // L4: the refusal of a request without a user.
            #expect(line.contains(" debug git-s3-backend: "), "\(line)")
        }

        /// A line without its quoted parts.
        private static func unquoted(_ line: String) -> String {
            line.replacing(/"([^"\\]|\\.)*"/, with: "")
        }

        // L3
        @Test func refusedPushLeavesALineWithItsUserAndTheReason() throws {
            let site = try Self.site.get()
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "HEAD")
            let next = try tree.commit("next")
            func expectLine(_ words: String, _ push: () throws -> Void) throws {
                let start = site.instance.log.utf8.count
                try push()
                let new = try lines(of: site.instance, after: start, with: "request refused")
                expectClean(new)
                let refused = new.filter { $0.hasSuffix("] request refused") }
                #expect(refused.count == 1, "\(new)")
                let line = try #require(refused.first)
                #expect(line.contains(" info git-s3-backend: "), "\(line)")
                #expect(line.contains(" push.user=alice ") && line.contains(words), "\(line)")
            }
            func push(_ command: PushBody.Command) throws {
                let body = PushBody(
                    [command], capabilities: "report-status",
                    pack: try tree.pack([next, "^\(tip)"]))
                let answer = try site.push(to: repository, body)
                #expect(answer.status == 200 && answer.text.contains("ng refs/heads/"), "\(answer)")
            }
            let name = "refs/heads/main"
            try expectLine(#"push.refusal="'refs/heads/main' was refused: "#) {
                try push(.init(old: next, new: next, name))
            }
            try expectLine("'refs/heads/x.lock' was refused: funny refname.") {
                try push(.init(old: nil, new: next, "refs/heads/x.lock"))
            }
            // A commit that fsck refuses: git's status report does not contain the reason.
            try Files.write(
                Array("[submodule \"x\"]\n\tpath = x\n\turl = \"-No space left on device\"\n".utf8),
                to: tree.path + "/.gitmodules")
            try tree.git("add", ".gitmodules")
            try tree.git("commit", "-q", "-m", "modules")
            try expectLine("gitmodulesUrl") {
                let result = try tree.attempt("push", "-q", "origin", "main")
                #expect(!result.succeeded, "\(result)")
            }
        }

        @Test func everyRequestHasOneLine() throws {
            let site = try Self.site.get()
            let start = site.instance.log.utf8.count
            let (repository, tree) = try seeded(site)
            _ = try WorkTree.clone(site.anonymousURL(repository), "-q")
            for tail in ["info/refs?service=git-upload-pack", "HEAD", "none"] {
                _ = try site.http.send("GET", "/git/\(repository).git/\(tail)")
            }
            try tree.commit("second")
            try tree.git("push", "-q", "origin", "main")
            let answer = try site.http.send("GET", "/git/no/body.git/info/refs")
            let last = try #require(answer.header("X-Request-Id"))
            let new = try lines(of: site.instance, after: start, with: "request.id=\(last) ")
            let requests = new.filter { $0.contains("] request ") }
            let identifiers = requests.compactMap { line in
                line.firstMatch(of: /\ request\.id=([0-9a-f]{16})\ /).map { "\($0.output.1)" }
            }
            #expect(identifiers.count == requests.count)
            #expect(Set(identifiers).count == requests.count, "\(requests)")
            func count(_ words: String...) -> Int {
                requests.count { line in words.allSatisfy { line.contains($0) } }
            }
            // Two pushes of two requests each, and a clone of three.
            #expect(count(" request.route=push ", "] request served") == 2, "\(requests)")
            #expect(count(" request.route=refs-for-push ", "] request served") == 2)
            #expect(count(" request.route=refs-for-fetch ", "] request served") == 2)
            #expect(count(" request.route=ls-refs ", "] request served") == 1)
            #expect(count(" request.route=fetch ", "] request served", " cache.hits=2 ") == 1)
            #expect(count(" request.route=none ", "] request refused") == 3, "\(requests)")
            #expect(requests.count == 11)
            #expect(new.count { $0.hasSuffix("] push published") } == 2)
        }

        @Test func cgiLeavesServedRequestsToTheWebServersLog() throws {
            let site = try Self.site.get()
            let (repository, _) = try seeded(site)
            var setup = site.setup
            for (level, isLogged) in [("info", false), ("debug", true)] {
                setup.environment = ["GIT_S3_BACKEND_LOG_LEVEL": level]
                let result = try CGIRun(setup).run(
                    "GET", "/\(repository)/info/refs", query: "service=git-upload-pack")
                #expect(result.errors.contains("] request served\n") == isLogged, "\(result)")
            }
        }

        @Test func errorsOfCommandsMoveNoCursor() throws {
            let site = try Self.site.get()
            let result = try site.command(
                "import", ["/none\u{1b}[2J\ngit-s3-backend: done", "a/b"])
            #expect(result.ending == .exited(1))
            #expect(result.errors.contains(#"/none\x1b[2J\ngit-s3-backend: done"#), "\(result)")
            #expect(result.errors.utf8.dropLast().allSatisfy { (0x20...0x7e).contains($0) })
        }

        // W10
        @Test func pushOverTheLimitIsRefusedInGitsWords() throws {
            let site = try Site(.file, options: ["--max-body", "1M"])
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "HEAD")
            try tree.commit("large", bytes: try randomBytes(5 << 20))
            let start = site.instance.log.utf8.count
            let result = try tree.attempt("push", "origin", "main")
            #expect(!result.succeeded, "\(result)")
            #expect(
                result.errors.contains("[remote rejected] main -> main (The request body is"),
                "\(result)")
            #expect(!result.errors.contains("HTTP 413"), "\(result)")
            let new = try lines(of: site.instance, after: start, with: "request refused")
            let line = try #require(new.first { $0.contains("request refused") })
            #expect(line.contains(" http.status=413 ") && line.contains(" push.user=alice "))
            let served = try tree.git("ls-remote", site.anonymousURL(repository), "main")
            #expect(served.hasPrefix(tip))
        }

        // L5
        @Test func withoutDescriptorsOneLineASecondSaysSo() throws {
            let site = try Site(.file)
            let instance = site.instance
            let repository = try site.create()
            let prlimit = try Programs.find("prlimit", remedy: "apt install util-linux")
            func limit(_ number: Int) throws {
                try Command(
                    prlimit, ["--pid", "\(instance.identifier)", "--nofile=\(number):4096"]
                ).run().checked()
            }
            let open = try Files.names(in: "/proc/\(instance.identifier)/fd").compactMap {
                Int($0)
            }
            try limit((open.max() ?? 0) + 1)
            // Connections that wait to be accepted.
            let clients = try (0..<5).map { _ in
                DescriptorBox(try Sockets.connect(path: instance.socket))
            }
            var failures: [String] = []
            try wait(for: "two lines") {
                failures = instance.log.split(separator: "\n").map(String.init)
                    .filter { $0.hasSuffix("] accept failed") }
                return failures.count >= 3
            }
            // At most one line per second for all workers.
            let times = failures.map { $0.prefix { $0 != " " } }
            #expect(Set(times).count == times.count, "\(failures)")
            let suppressed = failures.compactMap { line in
                line.firstMatch(of: /\ log\.suppressed=([0-9]+)\ /).flatMap { Int($0.output.1) }
            }
            #expect(suppressed.count == failures.count)
            #expect(suppressed.dropFirst().allSatisfy { $0 > 0 }, "\(failures)")
            try limit(4096)
            withExtendedLifetime(clients) {}
            #expect(try site.advertisement(repository).status == 200)
        }

        private final class DescriptorBox: Sendable {
            let descriptor: OwnedDescriptor
            init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
        }

        // C6, W13: the worker of a silent anonymous client is available again in much less than a
        // minute.
        @Test func refusedBodyThatNeverEndsIsGivenUp() throws {
            let site = try Site.shared(.file)
            let variables = [
                "REQUEST_METHOD": "POST", "PATH_INFO": "/no/body.git/git-upload-pack",
                "CONTENT_TYPE": "application/x-git-upload-pack-request",
            ]
            let socket = site.instance.socket
            let answer = Background {
                try FastCGI.request(
                    on: try Sockets.connect(path: socket), variables, body: [1, 2, 3],
                    ending: .missing)
            }
            let cgi = try CGIRun(site.setup)
            let pipe = try OwnedDescriptor.pipe()
            let environment = cgi.environment("POST", "/no/body.git/git-upload-pack")
                .merging(variables) { $1 }
            let child = try Command(
                Programs.server(), [], environment: environment, input: .descriptor(pipe.first.raw)
            ).start()
            try wait(for: "both answers", upTo: .seconds(40)) { child.hasEnded && answer.isDone }
            #expect(try answer.value().status == 404)
            let result = try child.finish().checked()
            #expect(result.text.contains("Status: 404 "), "\(result)")
            try writeAll(pipe.second.raw, [1])
        }

        // L4: a request that anyone can make is not an error of the server.
        @Test func fetchOfWhatWasNeverThereIsRefused() throws {
            let site = try Self.site.get()
            let (repository, tree) = try seeded(site)
            let unknown = String(repeating: "1", count: 40)
            func line(_ body: [UInt8], _ version: Int) throws -> String {
                let answer = try site.http.send(
                    "POST", "/git/\(repository).git/git-upload-pack",
                    headers: [
                        ("Content-Type", "application/x-git-upload-pack-request"),
                        ("Git-Protocol", "version=\(version)"),
                    ], body: .bytes(body))
                #expect(answer.status == 200 && answer.text.contains("ERR "), "\(answer)")
                let id = try #require(answer.header("X-Request-Id"))
                let new = try lines(of: site.instance, after: 0, with: "request.id=\(id) ")
                return try #require(new.last { $0.contains("request.id=\(id) ") })
            }
            let fetch = "0011command=fetch0001"
            for (body, version) in [
                (Site.wants([unknown]), 0),
                (Array("\(fetch)0032want \(unknown)\n0009done\n0000".utf8), 2),
                (Array("\(fetch)003ffilter sparse:oid=\(unknown)\n0000".utf8), 2),
            ] {
                let line = try line(body, version)
                #expect(line.contains(" debug git-s3-backend: "), "\(line)")
                #expect(line.contains(" http.status=400 "), "\(line)")
                #expect(line.hasSuffix("] request refused"), "\(line)")
            }

            // The target of a ref should exist, so a client that wants it has done nothing wrong.
            let packs = try site.bucket.packs(of: repository)
            let second = try tree.commit("second")
            try tree.git("push", "-q", "origin", "main")
            try site.bucket.supersede(repository) { manifest in
                let list = try #require(manifest.firstRange(of: /"packs":\[[^\]]*\]/))
                let left = packs.map { "\"packs/\($0)\"" }.joined(separator: ",")
                manifest.replaceSubrange(list, with: "\"packs\":[\(left)]")
            }
            let failed = try line(Site.wants([second]), 0)
            #expect(failed.contains(" error git-s3-backend: "), "\(failed)")
            #expect(failed.contains(" http.status=500 "), "\(failed)")
            #expect(failed.hasSuffix("] request failed"), "\(failed)")
        }

        // W13
        @Test(arguments: [Front.nginx, .cgi, .apacheCGI, .apacheCGID, .apacheProxy])
        func refusedBodyOfAnyMethodGetsItsStatus(front: Front) throws {
            let site = try front.shared()
            let repository = try site.create()
            let body = [UInt8](repeating: 7, count: 3 << 20)
            for method in ["PUT", "PROPFIND"] {
                for _ in 0..<5 {
                    let answer = try site.http.send(
                        method, "/git/\(repository).git/git-upload-pack", body: .bytes(body))
                    #expect(answer.status == 405, "\(method): \(answer.start) \(answer.text)")
                    #expect(answer.header("Allow") == "POST")
                }
            }
        }
    }
}
