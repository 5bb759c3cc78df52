import Bytes
import Glibc
import ObjectStore
import Posix
import Synchronization
import TestSupport
import Testing

@testable import S3Store

/// The store against a real S3 server.
@Suite(.serialized, .tags(.seaweed)) struct SeaweedTests {
    private let server: SeaweedFS
    private let bucket: String
    private let store: S3Store

    init() throws {
        server = try SeaweedFS.shared()
        bucket = try server.makeBucket()
        store = try S3Store(
            location: server.storeURL(bucket: bucket, prefix: "pre/fix"),
            environment: server.environment)
    }

    private func key(_ name: String) -> ObjectKey { .probe(run: "test", name: name) }

    private func one(_ request: StoreRequest) throws -> StoreAnswer {
        try #require(store.perform([request]).first).get()
    }

    private func put(
        _ text: String, at key: ObjectKey, _ condition: PutCondition = .always
    ) throws -> StoreAnswer {
        try one(.put(.bytes(Array(text.utf8)), at: key, condition))
    }

    private func etag(_ answer: StoreAnswer) throws -> ETag {
        guard case .stored(let etag?) = answer else {
            throw SystemError("stored", "\(answer)", code: 0)
        }
        return etag
    }

    private func errorOf(_ store: S3Store, _ request: StoreRequest) -> StoreError? {
        #expect(throws: StoreError.self) {
            try #require(store.perform([request]).first).get()
        }
    }

    /// Providers.md documents these results.
    @Test func probeFindsWhatItChecks() throws {
        let report = try ConformanceProbe(width: 2, rounds: 1).run(on: store).report
        #expect(
            report.dialect == [.checksSHA256, .keepsSHA256, .checksMD5, .etagIsMD5], "\(report)")
        #expect("\(report)".contains("SeaweedFS"), "\(report)")
    }

    @Test func anObjectIsWrittenReadLookedUpAndDeleted() throws {
        let key = key("a")
        guard case .absent = try one(.get(key, into: .memory(limit: 9))) else {
            Issue.record("there before it was written")
            return
        }
        let written = try etag(try put("hello", at: key))
        let object = try #require(try store.get(key, limit: 5))
        #expect(object.bytes == Array("hello".utf8))
        #expect(object.digest == Digest(of: object.bytes))
        #expect(object.etag == written)
        guard case .found(let looked) = try one(.head(key)) else {
            Issue.record("not found")
            return
        }
        #expect(looked.size == 5)
        #expect(looked.etag == written)
        #expect(looked.digest == nil)

        _ = try one(.delete(key))
        guard case .absent = try one(.head(key)) else {
            Issue.record("there after it was deleted")
            return
        }
    }

    @Test func checksumsAreCheckedAndKept() throws {
        let store = try S3Store(
            location: server.storeURL(bucket: bucket) + "&checksum=sha256",
            environment: server.environment)
        let key = key("checksum")
        let digest = Digest(of: [1, 2])
        _ = try #require(store.perform([.put(.bytes([1, 2]), at: key, .always)]).first).get()
        let looked = try #require(store.perform([.head(key)]).first).get()
        guard case .found(let object) = looked else {
            Issue.record("\(looked)")
            return
        }
        #expect(object.storedChecksum == digest)
        for kind in [BodyClaim.Kind.sha256, .md5] {
            let claim = BodyClaim(kind, isTrue: false)
            guard case .failure(.rejected)? = store.put([1, 3], at: key, claiming: claim) else {
                Issue.record("a damaged body was accepted")
                return
            }
        }
        #expect(try store.get(key, limit: 9)?.bytes == [1, 2])
    }

    @Test func anEmptyObjectIsStored() throws {
        _ = try put("", at: key("empty"))
        #expect(try store.get(key("empty"), limit: 0)?.bytes == [])
    }

    @Test func aLimitIsKept() throws {
        _ = try put("hello", at: key("limit"))
        guard case .tooLarge = errorOf(store, .get(key("limit"), into: .memory(limit: 4))) else {
            Issue.record("read in spite of the limit")
            return
        }
    }

    @Test func conditionsAreKept() throws {
        let key = key("condition")
        guard case .notStored = try put("x", at: key, .ifMatch(try #require(ETag("\"no\"")))) else {
            Issue.record("If-Match on a missing key wrote")
            return
        }
        let first = try etag(try put("1", at: key, .ifAbsent))
        guard case .notStored(.conditionFailed) = try put("2", at: key, .ifAbsent) else {
            Issue.record("created twice")
            return
        }
        let second = try etag(try put("3", at: key, .ifMatch(first)))
        #expect(second != first)
        guard case .notStored(.conditionFailed) = try put("4", at: key, .ifMatch(first)) else {
            Issue.record("a stale ETag wrote")
            return
        }
        #expect(try store.get(key, limit: 9)?.bytes == Array("3".utf8))
    }

    @Test(arguments: ["If-None-Match", "If-Match"])
    func oneOfThirtyTwoRacersWins(_ header: String) throws {
        // One round: SeaweedFS makes losers wait for its lock in steps of one second.
        let key = key("race-\(header)")
        let condition =
            header == "If-Match"
            ? PutCondition.ifMatch(try etag(try put("start", at: key))) : .ifAbsent
        let answers = try race(32) { number in
            .put(.bytes(Array("racer \(number)".utf8)), at: key, condition)
        }
        let winners = answers.indices.filter { number in
            if case .success(.stored) = answers[number] { true } else { false }
        }
        #expect(winners.count == 1)
        let body = try #require(try store.get(key, limit: 99)).bytes
        #expect(body == Array("racer \(winners.first ?? -1)".utf8))
        for case .failure(let error) in answers { Issue.record("\(error)") }
    }

    /// Sends all requests at once, each from a thread of its own; returns the answers in order.
    private func race(
        _ width: Int, _ request: (Int) -> StoreRequest
    ) throws -> [Result<StoreAnswer, StoreError>] {
        try concurrently(width) { number in
            try #require(store.perform([request(number)]).first)
        }
    }

    @Test func aWrongSecretIsDenied() throws {
        var environment = server.environment
        environment["AWS_SECRET_ACCESS_KEY"] = "wrong-hunter2"
        let other = try S3Store(
            location: server.storeURL(bucket: bucket), environment: environment)
        let error = try #require(errorOf(other, .get(key("a"), into: .memory(limit: 1))))
        guard case .denied = error else {
            Issue.record("\(error)")
            return
        }
        #expect("\(error)".contains("credentials"))
        #expect(!"\(error)".contains("hunter2"))
    }

    @Test func aMissingBucketIsNamed() throws {
        let other = try S3Store(
            location: server.storeURL(bucket: "no-such-bucket"), environment: server.environment)
        for request in [
            StoreRequest.get(key("a"), into: .memory(limit: 1)),
            .put(.bytes([1]), at: key("a"), .always), .put(.bytes([1]), at: key("a"), .ifAbsent),
        ] {
            let error = try #require(errorOf(other, request))
            guard case .misconfigured(let sentence) = error else {
                Issue.record("\(error)")
                continue
            }
            #expect(sentence.contains("'no-such-bucket'"))
        }
    }

    @Test func keysAreListedInOrderAndInPages() throws {
        let names = (0..<30).map { "k-\($0 + 100)" } + ["a.b", "Z", "_", "z-1"]
        let requests = names.map { StoreRequest.put(.bytes([1, 2]), at: key($0), .always) }
        for result in store.perform(requests) { _ = try result.get() }

        let all = try store.list(prefix: "probe/test/", startingAfter: nil)
        let expected = names.map { "probe/test/\($0)" }
            .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        #expect(all.map(\.key) == expected)
        #expect(all.allSatisfy { $0.size == 2 })
        let rest = try store.list(prefix: "probe/test/", startingAfter: "probe/test/k-128")
        #expect(rest.map(\.key) == ["probe/test/k-129", "probe/test/z-1"])
        #expect(try store.list(prefix: "repos/", startingAfter: nil).isEmpty)
    }

    @Test func aBatchOfManyIsCarriedOut() throws {
        let bodies = (0..<100).map { ObjectBody.bytes(Array("body \($0)".utf8)) }
        try store.write(bodies.map(ObjectWrite.pack))
        try store.write(bodies.map(ObjectWrite.pack))
        let directory = try TemporaryDirectory()
        let found = try store.download(
            bodies.enumerated().map { number, body in
                let path = "\(directory.path)/\(number)"
                return Download(key: .pack(body.digest), digest: body.digest, path: path)
            })
        #expect(found == Array(repeating: true, count: 100))
        #expect(try Files.read("\(directory.path)/42") == Array("body 42".utf8))
    }

    @Test func aPointerIsAdvanced() throws {
        let name = try #require(RepositoryName("acme/site"))
        let first = Digest(of: [1])
        guard
            case .won(let etag?) = try store.advancePointer(
                of: name, expecting: nil, to: first, lineage: { _ in .excludesOurs })
        else {
            Issue.record("not won")
            return
        }
        #expect(try store.readPointer(of: name) == PointerValue(digest: first, etag: etag))
    }

    /// 200 MiB up and down. The memory of other tests counts too, hence the margin.
    @Test func aLargeObjectTakesLittleMemory() throws {
        let directory = try TemporaryDirectory()
        let size: Int64 = 200 << 20
        let digest = try directory.writeLarge("up", bytes: size)
        let body = ObjectBody.file(path: directory.path + "/up", size: size, digest: digest)

        let before = try peakMemory()
        try store.write([.pack(body)])
        let found = try store.download([
            Download(key: .pack(digest), digest: digest, path: directory.path + "/down")
        ])
        #expect(found == [true])
        #expect(try Files.size(of: directory.path + "/down") == size)
        #expect(try peakMemory() - before < 32 << 20)

        // Creating an existing object is refused whatever the size of the body.
        try store.write([.pack(body)])
    }
}

/// Peak memory, in bytes. VmHWM of proc(5).
private func peakMemory() throws -> Int {
    let status = String(decoding: try Files.read("/proc/self/status"), as: UTF8.self)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
    return try #require(line.split(separator: " ").dropFirst().first.flatMap { Int($0) }) << 10
}
