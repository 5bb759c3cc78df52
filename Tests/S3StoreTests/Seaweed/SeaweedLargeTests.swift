import Bytes
import Glibc
import ObjectStore
import Posix
import TestSupport
import Testing

@testable import S3Store

/// Large objects on a real S3 server, with the smallest parts that it accepts.
@Suite(.serialized, .tags(.seaweed)) struct SeaweedLargeTests {
    private static let part: Int64 = 5 << 20

    private let server: SeaweedFS
    private let bucket: String
    private let directory: TemporaryDirectory

    init() throws {
        server = try SeaweedFS.shared()
        bucket = try server.makeBucket()
        directory = try TemporaryDirectory()
    }

    /// A store that sends and reads in the smallest parts.
    private func store(through proxy: FaultProxy? = nil, items: String = "") throws -> S3Store {
        let endpoint = proxy.map { "http://127.0.0.1:\($0.port)" } ?? server.endpoint
        return try S3Store(
            location: "s3://\(bucket)/pre?endpoint=\(endpoint)&region=us-east-1"
                + "&part-size=5M&multipart-threshold=5M\(items)",
            environment: server.environment,
            retryPolicy: RetryPolicy(attempts: 3, base: .milliseconds(10)))
    }

    private func proxy() throws -> FaultProxy {
        try FaultProxy(
            upstream: try #require(
                server.endpoint.split(separator: ":").last.flatMap { UInt16($0) })
        )
    }

    private func body(_ size: Int64, seed: UInt64 = 1) throws -> ObjectBody {
        let digest = try directory.writeLarge("up-\(seed)", bytes: size, seed: seed)
        return .file(path: "\(directory.path)/up-\(seed)", size: size, digest: digest)
    }

    // P6
    @Test(arguments: [Dialect.checksMD5, .etagIsMD5, .checksSHA256, []])
    func partsAreCheckedAsTheDialectSays(_ dialect: Dialect) throws {
        let proxy = try proxy()
        let store = try #require(try store(through: proxy).speaking(dialect))
        let good = try body(2 * Self.part + 1)
        try store.write([.pack(good)])
        try expectStored(good, in: self.store())

        let other = try body(2 * Self.part + 1, seed: 2)
        proxy.on("PUT", .part, .alterRequest { Array($0.dropLast()) + [($0.last ?? 0) ^ 1] })
        // Without any check the store keeps whatever arrives.
        if dialect.isEmpty { return try store.write([.pack(other)]) }
        let error = #expect(throws: StoreError.self) { try store.write([.pack(other)]) }
        switch error {
        case .rejected where dialect != .etagIsMD5, .altered where dialect == .etagIsMD5: break
        default: Issue.record("\(String(describing: error))")
        }
        #expect(try self.store().head([.pack(other.digest)]).first?.get() == nil)
    }

    /// Reads the object stored for a body, and compares them.
    private func expectStored(_ body: ObjectBody, in store: S3Store) throws {
        let path = directory.path + "/down"
        let found = try store.download([
            Download(key: .pack(body.digest), digest: body.digest, path: path)
        ])
        #expect(found == [true])
        #expect(try FileDigest(of: path).digest == body.digest)
        #expect(try Files.size(of: path) == body.size)
    }

    /// Uploads of the bucket that are neither completed nor aborted. S3 ListMultipartUploads.
    private func openUploads() throws -> Int {
        let answer = try store().exchange(
            HTTPRequest(
                attempt: .init(.list, ""), method: .get, key: "", query: [("uploads", "")],
                memoryLimit: 1 << 20))
        #expect(answer.status == 200)
        let leaves = try #require(xmlLeaves(of: answer.received.bytes))
        return leaves.count { $0.path == "/ListMultipartUploadsResult/Upload/UploadId" }
    }

    @Test(arguments: [part - 1, part, part + 1, 2 * part, 4 * part + 12_345], ["none", "sha256"])
    func anObjectIsStoredAndRead(_ size: Int64, _ checksum: String) throws {
        let store = try store(items: "&checksum=\(checksum)")
        let body = try body(size)
        try store.write([.pack(body)])
        try expectStored(body, in: store)
        // The second write sends nothing.
        try store.write([.pack(body)])
        #expect(try openUploads() == 0)
    }

    @Test func requestsAreAsManyAsNeeded() throws {
        let proxy = try proxy()
        let store = try store(through: proxy)
        let body = try body(2 * Self.part + 1)
        try store.write([.pack(body)])
        #expect(
            proxy.counts
                == ["HEAD pack": 2, "POST uploads": 1, "PUT part": 3, "POST upload": 1])
        proxy.reset()
        try expectStored(body, in: store)
        #expect(proxy.counts == ["GET pack": 3])
    }

    @Test func failureLeavesNothingBehind() throws {
        let proxy = try proxy()
        proxy.on("PUT", .part, times: 100, .answer(403, "AccessDenied"))
        let body = try body(3 * Self.part)
        let store = try store(through: proxy)
        let error = #expect(throws: StoreError.self) { try store.write([.pack(body)]) }
        guard case .denied? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(proxy.counts["DELETE upload"] == 1)
        #expect(try openUploads() == 0)
        #expect(try store.get(.pack(body.digest), limit: 1) == nil)

        proxy.reset()
        try store.write([.pack(body)])
        try expectStored(body, in: store)
    }

    @Test func anAnswerThatIsLostIsMadeUpFor() throws {
        let proxy = try proxy()
        proxy.on("PUT", .part, .loseAnswer)
        proxy.on("PUT", .part, .loseRequest)
        proxy.on("POST", .upload, .loseAnswer)
        let body = try body(3 * Self.part)
        let store = try store(through: proxy)
        try store.write([.pack(body)])
        #expect(proxy.counts["PUT part"] == 5)
        #expect(proxy.counts["POST upload"] == 1)
        #expect(proxy.counts["POST uploads"] == 1)
        #expect(proxy.counts["DELETE upload"] == nil)
        try expectStored(body, in: store)
        #expect(try openUploads() == 0)
    }

    @Test func aCompletionThatIsSentTwiceIsOne() throws {
        let proxy = try proxy()
        proxy.on("POST", .upload, .sendTwice)
        let body = try body(2 * Self.part)
        let store = try store(through: proxy)
        try store.write([.pack(body)])
        try expectStored(body, in: store)
        #expect(try openUploads() == 0)
    }

    @Test func rangesThatAreCutGoOn() throws {
        let proxy = try proxy()
        let store = try store(through: proxy)
        let body = try body(3 * Self.part + 1)
        try store.write([.pack(body)])
        proxy.reset()
        proxy.on("GET", .pack, times: 4, .cutAnswer)
        try expectStored(body, in: store)
        #expect(proxy.counts == ["GET pack": 8])
    }

    /// Both have looked for an existing object before either completes.
    @Test func twoUploadersOfOneKeyBothSucceed() throws {
        let proxy = try proxy()
        let gate = Gate(openingAt: 2)
        proxy.on("POST", .uploads, times: 2, .hold(gate))
        let store = try store(through: proxy)
        let body = try body(2 * Self.part + 1)
        let other = Background { try store.write([.pack(body)]) }
        try store.write([.pack(body)])
        try other.value()
        #expect(gate.isOpen)
        try expectStored(body, in: store)
        #expect(try openUploads() == 0)
    }

    @Test func bytesThatAreLostAreMissed() throws {
        let proxy = try proxy()
        let store = try store(through: proxy)
        let body = try body(2 * Self.part + 1)
        try store.write([.pack(body)])
        proxy.on("GET", .pack, times: 100, .alter { bytes in bytes.map { $0 ^ 1 } })
        let download = Download(
            key: .pack(body.digest), digest: body.digest, path: directory.path + "/down")
        let error = #expect(throws: StoreError.self) { try store.download([download]) }
        guard case .corrupt? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }
}
