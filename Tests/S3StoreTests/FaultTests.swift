import Bytes
import Glibc
import ObjectStore
import Posix
import TestSupport
import Testing

@testable import S3Store

/// The store against servers that misbehave.
@Suite(.serialized, .tags(.slow)) struct FaultTests {
    private let key = ObjectKey.probe(run: "r", name: "n")
    private var get: StoreRequest { .get(key, into: .memory(limit: 1000)) }

    private func store(
        _ server: ScriptedServer, items: String = "", attempts: Int = 1, host: String = "127.0.0.1"
    ) throws -> S3Store {
        try S3Store(
            location: "s3://bucket/pre?endpoint=http://\(host):\(server.port)&stall-timeout=1"
                + items,
            environment: ["AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"],
            retryPolicy: RetryPolicy(attempts: attempts, base: .milliseconds(1)))
    }

    private func result(_ store: S3Store, _ request: StoreRequest) throws -> StoreAnswer {
        try #require(store.perform([request]).first).get()
    }

    private func failure(_ store: S3Store, _ request: StoreRequest) -> String {
        do {
            return "no failure: \(try result(store, request))"
        } catch let error as StoreError {
            return "\(Mirror(reflecting: error).children.first?.label ?? ""): \(error)"
        } catch {
            return "\(error)"
        }
    }

    @Test func manyReadsShareOneConnection() throws {
        let server = try ScriptedServer { _, _ in .complete("200 OK", "x") }
        let store = try store(server)
        for _ in 0..<50 { _ = try result(store, get) }
        #expect(server.requests.count == 50)
        #expect(server.connections == 1)
    }

    @Test func aBatchGoesOutInParallelButBounded() throws {
        let server = try ScriptedServer { _, _ in
            usleep(20_000)
            return .complete("200 OK", "x")
        }
        let store = try store(server)
        let results = store.perform(Array(repeating: get, count: 100))
        for result in results { _ = try result.get() }
        #expect((2...8).contains(server.connections))
        _ = store.perform(Array(repeating: get, count: 8))
        #expect(server.connections <= 8)
    }

    @Test func anErrorAnswerKeepsTheConnection() throws {
        let server = try ScriptedServer { _, _ in
            .complete("404 Not Found", "<Error><Code>NoSuchKey</Code></Error>")
        }
        let store = try store(server)
        for _ in 0..<3 {
            guard case .absent = try result(store, get) else {
                Issue.record("not absent")
                return
            }
        }
        #expect(server.connections == 1)
    }

    @Test func aCutDownloadIsUnreachable() throws {
        let server = try ScriptedServer { _, _ in
            .raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", then: .close)
        }
        #expect(failure(try store(server), get).hasPrefix("unreachable"))
        let directory = try TemporaryDirectory()
        let toFile = StoreRequest.get(key, into: .file(directory.path + "/f"))
        #expect(failure(try store(server), toFile).hasPrefix("unreachable"))
    }

    @Test(arguments: ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nETag: \"t\"\r\n"])
    func aCutHeadIsUnreachable(_ head: String) throws {
        let server = try ScriptedServer { _, _ in .raw(head, then: .close) }
        let put = StoreRequest.put(.bytes([1]), at: key, .ifAbsent)
        for request in [get, put, .head(key), .delete(key)] {
            let said = failure(try store(server), request)
            #expect(said.hasPrefix("unreachable"), "\(said)")
        }
    }

    @Test func aCutChunkedDownloadIsUnreachable() throws {
        let server = try ScriptedServer { _, _ in
            .raw(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", then: .close)
        }
        #expect(failure(try store(server), get).hasPrefix("unreachable"))
    }

    @Test func anAnswerWithoutALengthIsNotTrusted() throws {
        let server = try ScriptedServer { _, _ in .raw("HTTP/1.1 200 OK\r\n\r\nx", then: .close) }
        #expect(failure(try store(server), get).hasPrefix("nonConforming"))
    }

    @Test func noAnswerIsUnreachable() throws {
        let server = try ScriptedServer { _, _ in .raw("", then: .close) }
        let put = StoreRequest.put(.bytes([1]), at: key, .ifAbsent)
        #expect(failure(try store(server), put).hasPrefix("unreachable"))
    }

    @Test func answerThatIsNotHTTPIsUnreachable() throws {
        let server = try ScriptedServer { _, _ in .raw("SSH-2.0-x\r\n", then: .close) }
        #expect(failure(try store(server), get).hasPrefix("unreachable"))
    }

    @Test(arguments: ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"])
    func aStalledServerIsGivenUp(_ start: String) throws {
        let server = try ScriptedServer { _, _ in .raw(start, then: .stall) }
        let begin = ContinuousClock.now
        #expect(failure(try store(server), get).hasPrefix("unreachable"))
        #expect(ContinuousClock.now - begin < .seconds(10))
    }

    @Test func anUnreachableEndpointSaysWhere() throws {
        let port = try { () throws in try ScriptedServer { _, _ in .complete("200 OK") }.port }()
        let store = try S3Store(
            location: "s3://bucket?endpoint=http://127.0.0.1:\(port)",
            environment: ["AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"])
        let said = failure(store, get)
        #expect(said.hasPrefix("unreachable") && said.contains("\(port)"), "\(said)")
    }

    @Test func aBusyServerIsAskedAgain() throws {
        let server = try ScriptedServer { _, number in
            number < 3
                ? .complete("503 Slow Down", "<Error><Code>SlowDown</Code></Error>")
                : .complete("200 OK", "done")
        }
        let once = failure(try store(server), get)
        #expect(once.hasPrefix("unavailable") && once.contains("503 SlowDown"), "\(once)")
        let object = try store(server, attempts: 5).get(key, limit: 10)
        #expect(object?.bytes == Array("done".utf8))
    }

    @Test func aBodyOverTheLimitIsNotReadToItsEnd() throws {
        let server = try ScriptedServer { _, _ in
            .complete("200 OK", String(repeating: "x", count: 1_000_000))
        }
        #expect(failure(try store(server), get).hasPrefix("tooLarge"))
    }

    @Test func aLongErrorBodyIsNotReadToItsEnd() throws {
        let server = try ScriptedServer { _, _ in
            .complete("500 Oops", String(repeating: "x", count: 10_000_000))
        }
        #expect(failure(try store(server), get).hasPrefix("unavailable"))
    }

    @Test func redirectsAreNotFollowed() throws {
        let server = try ScriptedServer { _, _ in
            .complete(
                "307 Temporary Redirect", headers: ["Location: http://127.0.0.1:1/elsewhere"])
        }
        #expect(failure(try store(server), get).hasPrefix("misconfigured"))
        #expect(server.requests.count == 1)
    }

    @Test func proxiesOfTheEnvironmentAreIgnored() throws {
        setenv("http_proxy", "http://127.0.0.1:1", 1)
        defer { unsetenv("http_proxy") }
        let server = try ScriptedServer { _, _ in .complete("200 OK", "x") }
        _ = try result(try store(server), get)
        #expect(server.requests.first?.target == "/bucket/pre/probe/r/n")
    }

    @Test func aPutSendsWhatItSigned() throws {
        let server = try ScriptedServer { _, _ in
            .complete("200 OK", headers: ["ETag: \"tag\""])
        }
        let store = try store(server, items: "&checksum=sha256")
        let directory = try TemporaryDirectory()
        try directory.file("body", "hello")
        let digest = Digest(of: Array("hello".utf8))
        let body = ObjectBody.file(path: directory.path + "/body", size: 5, digest: digest)
        guard case .stored(let etag) = try result(store, .put(body, at: key, .ifAbsent)) else {
            Issue.record("not stored")
            return
        }
        #expect(etag?.text == "\"tag\"")
        let request = try #require(server.requests.first)
        #expect(request.method == "PUT")
        #expect(request.target == "/bucket/pre/probe/r/n")
        #expect(request.body == Array("hello".utf8))
        #expect(request.headers["if-none-match"] == "*")
        #expect(request.headers["x-amz-content-sha256"] == digest.hex)
        #expect(request.headers["x-amz-checksum-sha256"] == Base64.encode(digest.raw))
        #expect(request.headers["host"] == "127.0.0.1:\(server.port)")
        #expect(request.headers["expect"] == nil)
        #expect(request.headers["transfer-encoding"] == nil)
    }

    @Test func bareETagsAreSentOnlyWhenAskedFor() throws {
        let server = try ScriptedServer { _, _ in .complete("412 Precondition Failed") }
        let store = try store(server)
        let tag = try #require(ETag("\"tag\""))
        let put = StoreRequest.put(.bytes([]), at: key, .ifMatch(tag))
        _ = store.perform([put])
        _ = try #require(store.speaking(.bareETags)).perform([put])
        #expect(server.requests.map { $0.headers["if-match"] } == ["\"tag\"", "tag"])
        #expect(server.requests.first?.headers["content-length"] == "0")
    }

    @Test func deadConnectionIsReplacedAndTheBodySentAgain() throws {
        let server = try ScriptedServer { request, number in
            var answer = ScriptedServer.Answer.complete("200 OK", headers: ["ETag: \"t\""])
            // As a server does when a connection was idle for too long.
            if number == 1 { answer.then = .close }
            return answer
        }
        let store = try store(server)
        let put = StoreRequest.put(.bytes(Array("body".utf8)), at: key, .always)
        _ = try result(store, put)
        _ = try result(store, put)
        #expect(server.requests.map(\.body) == [Array("body".utf8), Array("body".utf8)])
        #expect(server.connections == 2)
    }

    /// The reason for the pointer's provisional answers: the first copy may have been applied.
    @Test func libcurlSendsAgainWhenAReusedConnectionDies() throws {
        let server = try ScriptedServer { _, number in
            number == 2
                ? .raw("", then: .close) : .complete("200 OK", headers: ["ETag: \"t\""])
        }
        let store = try store(server)
        let directory = try TemporaryDirectory()
        try directory.file("body", "the body")
        let bytes = Array("the body".utf8)
        let body = ObjectBody.file(
            path: directory.path + "/body", size: Int64(bytes.count), digest: Digest(of: bytes))
        _ = try result(store, .put(body, at: key, .always))
        _ = try result(store, .put(body, at: key, .always))
        #expect(server.requests.map(\.body) == [bytes, bytes, bytes])
    }

    @Test func aFileThatShrankIsALocalError() throws {
        let server = try ScriptedServer { _, _ in .complete("200 OK") }
        let directory = try TemporaryDirectory()
        try directory.file("body", "hello")
        let body = ObjectBody.file(
            path: directory.path + "/body", size: 50, digest: Digest(of: []))
        #expect(failure(try store(server), .put(body, at: key, .always)).hasPrefix("local"))
        let none = ObjectBody.file(path: "/nonexistent", size: 50, digest: Digest(of: []))
        #expect(failure(try store(server), .put(none, at: key, .always)).hasPrefix("local"))
    }

    @Test func aDestinationThatCannotBeMadeIsALocalError() throws {
        let server = try ScriptedServer { _, _ in .complete("200 OK", "x") }
        let request = StoreRequest.get(key, into: .file("/nonexistent/file"))
        #expect(failure(try store(server), request).hasPrefix("local"))
    }

    @Test func anEmptyObjectMakesAnEmptyFile() throws {
        let server = try ScriptedServer { _, _ in .complete("200 OK") }
        let directory = try TemporaryDirectory()
        try directory.file("f", "old")
        _ = try result(try store(server), .get(key, into: .file(directory.path + "/f")))
        #expect(try Files.size(of: directory.path + "/f") == 0)
    }

    @Test func virtualHostsReachTheBucketByName() throws {
        let server = try ScriptedServer { _, _ in .complete("200 OK", "x") }
        let store = try store(server, items: "&addressing=virtual", host: "localhost")
        _ = try result(store, get)
        let request = try #require(server.requests.first)
        #expect(request.headers["host"] == "bucket.localhost:\(server.port)")
        #expect(request.target == "/pre/probe/r/n")
    }

    @Test func aListingIsAskedForAgain() throws {
        let server = try ScriptedServer { _, number in
            number == 1
                ? .complete("503 Slow Down")
                : .complete(
                    "200 OK",
                    "<ListBucketResult><Contents><Key>pre/b</Key><Size>1</Size></Contents>"
                        + "</ListBucketResult>")
        }
        let store = try store(server, attempts: 2)
        let objects = try store.list(prefix: "", startingAfter: "a")
        #expect(objects == [ListedObject(key: "b", size: 1)])
        #expect(
            server.requests.last?.target == "/bucket?encoding-type=url&list-type=2"
                + "&max-keys=1000&prefix=pre%2F&start-after=pre%2Fa")
    }

    @Test func listingsOutOfOrderAreNotTrusted() throws {
        let server = try ScriptedServer { _, _ in
            .complete(
                "200 OK",
                "<ListBucketResult><Contents><Key>pre/b</Key><Size>1</Size></Contents>"
                    + "<Contents><Key>pre/a</Key><Size>1</Size></Contents></ListBucketResult>")
        }
        let store = try store(server)
        #expect(throws: StoreError.self) { try store.list(prefix: "", startingAfter: nil) }
    }
}
