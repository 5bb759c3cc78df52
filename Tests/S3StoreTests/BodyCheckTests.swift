import Bytes
import ObjectStore
import Posix
import TestSupport
import Testing

@testable import S3Store

/// Backends that can check a body are required to (P6), as far as the probe finds that they can.
@Suite(.serialized) struct BodyCheckTests {
    private let probe = ConformanceProbe(width: 2, rounds: 1)

    private func dialect(_ conduct: ScriptedStore.Conduct) throws -> Dialect {
        let scripted = try ScriptedStore(conduct)
        let (store, report) = try probe.run(on: scripted.store())
        #expect(store.dialect == report.dialect)
        #expect(scripted.keys.isEmpty)
        return report.dialect
    }

    @Test(arguments: ScriptedStore.Header.allCases, ScriptedStore.Header.allCases)
    func probeFindsWhichHeadersAreHonored(
        onSHA256: ScriptedStore.Header, onMD5: ScriptedStore.Header
    ) throws {
        for (returnsSHA256, etagIsMD5) in [(false, false), (true, true)] {
            var conduct = ScriptedStore.Conduct()
            conduct.onSHA256 = onSHA256
            conduct.onMD5 = onMD5
            conduct.returnsSHA256 = returnsSHA256
            conduct.etagIsMD5 = etagIsMD5
            var expected: Dialect = []
            if onSHA256 == .checked { expected.insert(.checksSHA256) }
            if onSHA256 == .checked, returnsSHA256 { expected.insert(.keepsSHA256) }
            if onMD5 == .checked { expected.insert(.checksMD5) }
            if etagIsMD5 { expected.insert(.etagIsMD5) }
            #expect(try dialect(conduct) == expected)
        }
    }

    /// Each check would wait for it, twice: minutes, if nothing answers.
    @Test func probeGivesUpAStoreThatDoesNotAnswer() throws {
        let server = try ScriptedServer { _, _ in .raw("", then: .close) }
        let store = try S3Store(
            location: "s3://bucket?endpoint=http://127.0.0.1:\(server.port)",
            environment: ["AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"],
            retryPolicy: RetryPolicy(attempts: 2, base: .milliseconds(1)))
        let failure = #expect(throws: ProbeFailure.self) { try probe.run(on: store) }
        #expect(failure?.reason.contains("no answer") == true, "\(String(describing: failure))")
        #expect(server.requests.count { $0.method != "DELETE" } == 20)
    }

    // S7 follows from it
    @Test func probePassesWhereEveryPutNeedsAChecksum() throws {
        for header in [\ScriptedStore.Conduct.onSHA256, \.onMD5] {
            var conduct = ScriptedStore.Conduct()
            conduct.demandsChecksum = true
            conduct.etagIsMD5 = true
            conduct[keyPath: header] = .checked
            #expect(try dialect(conduct).contains(.etagIsMD5))
        }
    }

    private let bytes = Array("the pack's bytes".utf8)

    /// The store after admission, and the headers of its PUT of a pack.
    private func admitted(
        _ scripted: ScriptedStore, items: String = ""
    ) throws -> (store: any ObjectStore, headers: [String: String]) {
        let store = try probe.run(on: scripted.store(items: items)).store
        try store.write([.pack(.bytes(bytes))])
        return (store, try #require(scripted.puts.last))
    }

    @Test func strongestHonoredCheckIsSentAlone() throws {
        var conduct = ScriptedStore.Conduct()
        conduct.onMD5 = .checked
        conduct.etagIsMD5 = true
        let md5 = try #require(MD5.hash(of: bytes).map { Base64.encode($0) })
        let sha256 = Base64.encode(Digest(of: bytes).raw)

        let byMD5 = try admitted(ScriptedStore(conduct))
        #expect(byMD5.headers["content-md5"] == md5)
        #expect(byMD5.headers["x-amz-checksum-sha256"] == nil)
        #expect(byMD5.store.checksBodies)

        let silenced = try admitted(ScriptedStore(conduct), items: "&checksum=none")
        #expect(silenced.headers["content-md5"] == nil)
        #expect(silenced.store.checksBodies, "the ETag is compared still")

        conduct.onSHA256 = .checked
        let bySHA256 = try admitted(ScriptedStore(conduct))
        #expect(bySHA256.headers["content-md5"] == nil)
        #expect(bySHA256.headers["x-amz-checksum-sha256"] == sha256)
        #expect(bySHA256.store.checksBodies)

        let none = try admitted(ScriptedStore())
        #expect(none.headers.keys.allSatisfy { !$0.contains("md5") && !$0.contains("checksum") })
        #expect(!none.store.checksBodies)
        let forced = try admitted(ScriptedStore(), items: "&checksum=sha256")
        #expect(forced.headers["x-amz-checksum-sha256"] == sha256)
        #expect(!forced.store.checksBodies, "it is sent, but nothing says that it is compared")
    }

    @Test func contentMD5OfAFileIsThatOfItsBytes() throws {
        var conduct = ScriptedStore.Conduct()
        conduct.onMD5 = .checked
        let scripted = try ScriptedStore(conduct)
        let store = try probe.run(on: scripted.store()).store
        let directory = try TemporaryDirectory()
        let content = [UInt8](repeating: 7, count: 3_000_000)
        try Files.write(content, to: directory.path + "/body")
        try store.write([
            .pack(
                .file(
                    path: directory.path + "/body", size: Int64(content.count),
                    digest: Digest(of: content)))
        ])
        #expect(scripted[.pack(Digest(of: content))] == content)
        #expect(scripted.puts.last?["content-md5"] == MD5.hash(of: content).map(Base64.encode))
    }

    /// A bit is flipped in transit.
    @Test(arguments: ["sha256", "md5", "etag"])
    func damageOnTheWayFailsTheWrite(_ check: String) throws {
        var conduct = ScriptedStore.Conduct()
        if check == "sha256" { conduct.onSHA256 = .checked }
        if check == "md5" { conduct.onMD5 = .checked }
        if check == "etag" { conduct.etagIsMD5 = true }
        conduct.alter = { $0.isEmpty ? $0 : [$0[0] ^ 1] + $0[1...] }
        let scripted = try ScriptedStore(conduct)
        let store = try probe.run(on: scripted.store()).store
        let key = ObjectKey.pack(Digest(of: bytes))
        let error = #expect(throws: StoreError.self) { try store.write([.pack(.bytes(bytes))]) }
        let said = error.map { "\($0)" } ?? ""
        #expect(said.contains(key.path), "\(said)")
        if check == "etag" {
            guard case .altered? = error else {
                Issue.record("\(said)")
                return
            }
            // It is stored under the name of another content, so nobody relies on it.
            let again = #expect(throws: StoreError.self) {
                try store.write([.pack(.bytes(bytes))])
            }
            guard case .corrupt(key, _)? = again else {
                Issue.record("\(String(describing: again))")
                return
            }
        } else {
            #expect(said.contains("400 BadDigest"), "\(said)")
            #expect(scripted[key] == nil)
        }
    }

    /// An ETag that turns out not to be an MD5, as after the bucket was encrypted, proves nothing.
    @Test func etagOfAnotherFormIsNotCompared() throws {
        var conduct = ScriptedStore.Conduct()
        conduct.etagIsMD5 = true
        let scripted = try ScriptedStore(conduct)
        let store = try probe.run(on: scripted.store()).store
        scripted.change { $0.etagIsMD5 = false }
        try store.write([.pack(.bytes(bytes))])
        #expect(scripted[.pack(Digest(of: bytes))] == bytes)
    }

    /// A swap that arrived damaged may have been applied: its outcome is unknown.
    @Test func damagedSwapIsUndetermined() throws {
        let (scripted, store) = try storeWithMD5ETags()
        scripted.change {
            $0.alters = { _ in true }
            $0.alter = { $0 + [0] }
        }
        let error = #expect(throws: StoreError.self) { _ = try advance(store) }
        guard case .undetermined? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    /// An ETag that is not the MD5 of the sent bytes leaves a swap undecided; reading the pointer
    /// decides it.
    @Test func swapOfADoubtfulETagIsSettledByReadingThePointer() throws {
        let (scripted, store) = try storeWithMD5ETags()
        scripted.change { $0.keep = { $0 + [0] } }
        guard case .won = try advance(store) else {
            Issue.record("the pointer has the right bytes")
            return
        }
    }

    private func storeWithMD5ETags() throws -> (ScriptedStore, any ObjectStore) {
        var conduct = ScriptedStore.Conduct()
        conduct.etagIsMD5 = true
        let scripted = try ScriptedStore(conduct)
        return (scripted, try probe.run(on: scripted.store()).store)
    }

    private func advance(_ store: any ObjectStore) throws -> PointerAdvance {
        let name = try #require(RepositoryName("a/b"))
        return try store.advancePointer(of: name, expecting: nil, to: Digest(of: [])) { _ in
            .excludesOurs
        }
    }

    // P7
    @Test func existingObjectIsReliedOnByTheStoresChecksumOrByReadingIt() throws {
        var conduct = ScriptedStore.Conduct()
        conduct.onSHA256 = .checked
        conduct.returnsSHA256 = true
        for (conduct, read) in [(conduct, "HEAD"), (ScriptedStore.Conduct(), "GET")] {
            let scripted = try ScriptedStore(conduct)
            let store = try probe.run(on: scripted.store()).store
            try store.write([.pack(.bytes(bytes))])
            _ = scripted.counted()
            try store.write([.pack(.bytes(bytes))])
            #expect(scripted.counted() == ["PUT": 1, read: 1])
        }
    }

    /// As for an object that was sent in parts to a backend that does not mark it.
    @Test func anotherChecksumThanThatOfTheWholeSaysNothing() throws {
        var conduct = ScriptedStore.Conduct()
        conduct.onSHA256 = .checked
        conduct.returnsSHA256 = true
        let scripted = try ScriptedStore(conduct)
        let store = try probe.run(on: scripted.store()).store
        let key = ObjectKey.pack(Digest(of: bytes))
        scripted.plant(bytes, at: key, checksum: Base64.encode(Digest(of: [1]).raw))
        _ = scripted.counted()
        try store.write([.pack(.bytes(bytes))])
        #expect(scripted.counted() == ["PUT": 1, "HEAD": 1, "GET": 1])
    }

    // P7
    @Test func damagedExistingObjectIsNamed() throws {
        var conduct = ScriptedStore.Conduct()
        conduct.onSHA256 = .checked
        conduct.returnsSHA256 = true
        for conduct in [conduct, ScriptedStore.Conduct()] {
            let scripted = try ScriptedStore(conduct)
            let store = try probe.run(on: scripted.store()).store
            let key = ObjectKey.pack(Digest(of: bytes))
            // Written without a checksum, so it has to be read.
            scripted[key] = bytes.reversed()
            let error = #expect(throws: StoreError.self) { try store.write([.pack(.bytes(bytes))]) }
            guard case .corrupt(key, _)? = error else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
    }
}

/// The parts of a large object are checked one by one.
@Suite(.serialized) struct PartCheckTests {
    private let key = ObjectKey.probe(run: "r", name: "n")

    private func md5Tag(_ body: [UInt8]) throws -> String {
        let md5 = try #require(MD5.hash(of: body))
        return "\"" + md5.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "\""
    }

    @Test(arguments: [Dialect.checksMD5, .etagIsMD5, .checksSHA256])
    func partIsSentWithWhatIsHonored(_ dialect: Dialect) throws {
        let bucket = try ScriptedBucket()
        let store = try #require(try bucket.store().speaking(dialect))
        let content = [UInt8]((0..<2500).map { UInt8(truncatingIfNeeded: $0 &* 7) })
        _ = try #require(store.perform([.put(.bytes(content), at: key, .ifAbsent)]).first).get()
        #expect(bucket[key] == content)
        for (part, range) in [(1, 0..<1000), (2, 1000..<2000), (3, 2000..<2500)] {
            let headers = try #require(bucket.calls.first { $0.kind == .part(part) }).request
                .headers
            let piece = Array(content[range])
            #expect(
                headers["content-md5"]
                    == (dialect == .checksMD5 ? MD5.hash(of: piece).map(Base64.encode) : nil))
            #expect(
                headers["x-amz-checksum-sha256"]
                    == (dialect == .checksSHA256 ? Base64.encode(Digest(of: piece).raw) : nil))
        }
    }

    @Test(arguments: [Dialect.etagIsMD5, [.etagIsMD5, .checksMD5]])
    func partThatArrivedDamagedIsNotCompleted(_ dialect: Dialect) throws {
        let bucket = try ScriptedBucket { call in
            guard call.kind == .part(2) else { return nil }
            let tag = try? md5Tag(call.request.body + [0])
            return .complete("200 OK", headers: ["ETag: \(tag ?? "")"])
        }
        let store = try #require(try bucket.store(attempts: 3).speaking(dialect))
        let put = StoreRequest.put(.bytes([UInt8](repeating: 1, count: 2500)), at: key, .ifAbsent)
        guard case .failure(.altered)? = store.perform([put]).first else {
            Issue.record("it was taken")
            return
        }
        #expect(bucket.counts[.complete] == nil)
        #expect(bucket.openUploads == 0 && bucket[key] == nil)
    }

    // S15
    @Test func uploadIsAbortedWhenItsLastLookIsDenied() throws {
        let bucket = try ScriptedBucket { call in
            switch call.kind {
            case .complete: .error("500 Oops", "InternalError")
            case .head where call.number > 1: .complete("403 Forbidden")
            default: nil
            }
        }
        let put = StoreRequest.put(.bytes([UInt8](repeating: 1, count: 2500)), at: key, .ifAbsent)
        guard case .failure(.denied)? = try bucket.store(attempts: 2).perform([put]).first else {
            Issue.record("no denial")
            return
        }
        #expect(bucket.counts[.abort] == 1)
        #expect(bucket.openUploads == 0)
    }

    // S15: the backend may be at work on the parts.
    @Test func uploadWhoseCompletionWentUnansweredIsLeftAlone() throws {
        let bucket = try ScriptedBucket { call in
            switch call.kind {
            case .complete: ScriptedServer.Answer.none
            case .head where call.number > 1: .complete("403 Forbidden")
            default: nil
            }
        }
        let put = StoreRequest.put(.bytes([UInt8](repeating: 1, count: 2500)), at: key, .ifAbsent)
        guard case .failure(.denied)? = try bucket.store(attempts: 2).perform([put]).first else {
            Issue.record("no denial")
            return
        }
        #expect(bucket.counts[.abort] == nil)
    }
}
