import Bytes
import Glibc
import ObjectStore
import Posix
import TestSupport
import Testing

@testable import S3Store

/// Uploads in parts to a server that misbehaves.
@Suite(.serialized) struct MultipartTests {
    private let key = ObjectKey.probe(run: "r", name: "n")
    private let attempts = 3

    /// Bytes in which no two parts are equal.
    private func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 ^ ($0 >> 8) &* 31) }
    }

    private func result(_ store: S3Store, _ request: StoreRequest) throws -> StoreAnswer {
        try #require(store.perform([request]).first).get()
    }

    /// The result of creating an object of this many bytes, in words.
    private func outcome(
        _ bucket: ScriptedBucket, _ count: Int = 3500, _ condition: PutCondition = .ifAbsent,
        items: String = ""
    ) throws -> String {
        let store = try bucket.store(attempts: attempts, items: items)
        let request = StoreRequest.put(.bytes(bytes(count)), at: key, condition)
        switch try #require(store.perform([request]).first) {
        case .success(let answer): return "\(answer)"
        case .failure(let error):
            return "\(Mirror(reflecting: error).children.first?.label ?? ""): \(error)"
        }
    }

    @Test(arguments: [0, 1, 999, 1000, 1001, 1999, 2000, 2001, 3000, 10_500])
    func aBodyArrivesWhole(_ count: Int) throws {
        let bucket = try ScriptedBucket()
        let directory = try TemporaryDirectory()
        let body = bytes(count)
        try Files.write(body, to: directory.path + "/body")
        for source in [
            ObjectBody.bytes(body),
            .file(path: directory.path + "/body", size: Int64(count), digest: Digest(of: body)),
        ] {
            bucket[key] = nil
            let before = bucket.calls.count
            guard
                case .stored(let etag?) = try result(
                    bucket.store(), .put(source, at: key, .ifAbsent)),
                case .found(let found) = try result(bucket.store(), .head(key))
            else {
                Issue.record("not stored")
                return
            }
            #expect(etag == found.etag)
            #expect(bucket[key] == body)
            #expect(bucket.openUploads == 0)
            let kinds = bucket.calls[before...].map(\.kind).filter { $0 != .head }
            let parts = (count + 999) / 1000
            let expected: [ScriptedBucket.Kind] =
                count <= 1000 ? [.put] : [.create] + (1...parts).map { .part($0) } + [.complete]
            #expect(Set(kinds) == Set(expected) && kinds.count == expected.count, "\(kinds)")
            #expect(kinds.last == expected.last)
        }
    }

    @Test func partsGoOutTogether() throws {
        let gate = Gate(openingAt: 8)
        let bucket = try ScriptedBucket { call in
            if case .part = call.kind { gate.pass(upTo: .seconds(5)) }
            return nil
        }
        #expect(try outcome(bucket, 8000).hasPrefix("stored"))
        #expect(gate.isOpen)
    }

    @Test func aLargeBodyDoesNotKeepSmallOnesWaiting() throws {
        let gate = Gate(openingAt: 2)
        let bucket = try ScriptedBucket { call in
            if call.kind == .put || call.kind == .head { gate.pass(upTo: .seconds(5)) }
            return nil
        }
        let large = ObjectBody.bytes(bytes(3500))
        let small = ObjectBody.bytes(bytes(10))
        try bucket.store().write([.pack(large), .packIndex(of: large.digest, small)])
        #expect(gate.isOpen)
        #expect(bucket[.pack(large.digest)] == bytes(3500))
        #expect(bucket[.packIndex(large.digest)] == bytes(10))
    }

    @Test func aPartIsSignedWithItsOwnHash() throws {
        let bucket = try ScriptedBucket()
        #expect(try outcome(bucket, 2500, items: "&checksum=sha256").hasPrefix("stored"))
        let creation = try #require(bucket.calls.first { $0.kind == .create })
        #expect(creation.request.target == "/bucket/probe/r/n?uploads=")
        #expect(creation.request.headers["x-amz-checksum-algorithm"] == "SHA256")
        let completion = try #require(bucket.calls.first { $0.kind == .complete })
        #expect(completion.request.headers["if-none-match"] == "*")
        let document = String(decoding: completion.request.body, as: UTF8.self)
        for (part, range) in [(1, 0..<1000), (2, 1000..<2000), (3, 2000..<2500)] {
            let call = try #require(bucket.calls.first { $0.kind == .part(part) })
            let digest = Digest(of: Array(bytes(2500)[range]))
            let checksum = Base64.encode(digest.raw)
            #expect(call.request.headers["x-amz-content-sha256"] == digest.hex)
            #expect(call.request.headers["x-amz-checksum-sha256"] == checksum)
            #expect(document.contains("<ChecksumSHA256>\(checksum)</ChecksumSHA256>"))
        }
    }

    @Test func noChecksumIsSentWhereNoneIsWanted() throws {
        let bucket = try ScriptedBucket()
        #expect(try outcome(bucket).hasPrefix("stored"))
        #expect(
            bucket.calls.allSatisfy { call in
                call.request.headers.keys.allSatisfy {
                    $0 == "x-amz-checksum-mode" || !$0.hasPrefix("x-amz-checksum")
                } && !String(decoding: call.request.body, as: UTF8.self).contains("Checksum")
            })
    }

    @Test func aSwapIsNeverSentInParts() throws {
        let bucket = try ScriptedBucket()
        let tag = try #require(ETag("\"tag\""))
        _ = try outcome(bucket, 3500, .ifMatch(tag))
        #expect(bucket.counts == [.put: 1])
    }

    @Test func aPartThatFailsIsSentAgainByItself() throws {
        let bucket = try ScriptedBucket { call in
            switch (call.kind, call.number) {
            case (.part(1), 1): .error("503 Slow Down", "SlowDown")
            case (.part(2), 1), (.part(2), 2): ScriptedServer.Answer.none
            case (.part(4), 1): .error("409 Conflict", "OperationAborted")
            default: nil
            }
        }
        #expect(try outcome(bucket).hasPrefix("stored"))
        #expect(bucket[key] == bytes(3500))
        let once = [ScriptedBucket.Kind.create, .part(3), .complete]
        #expect(once.allSatisfy { bucket.counts[$0] == 1 }, "\(bucket.counts)")
        #expect(bucket.counts[.part(1)] == 2 && bucket.counts[.part(4)] == 2)
        #expect(bucket.counts[.part(2)] == 3)
        #expect(bucket.counts[.abort] == nil)
    }

    @Test func aPartThatKeepsFailingLeavesNothingBehind() throws {
        let bucket = try ScriptedBucket { call in
            call.kind == .part(2) ? .error("503 Slow Down", "SlowDown") : nil
        }
        #expect(try outcome(bucket).hasPrefix("unavailable"))
        #expect(bucket.counts[.part(2)] == attempts)
        #expect(bucket.counts[.abort] == 1)
        #expect(bucket.openUploads == 0)
        #expect(bucket[key] == nil)
    }

    @Test func aPartThatIsRefusedEndsTheUploadAtOnce() throws {
        let bucket = try ScriptedBucket { call in
            call.kind == .part(1) ? .error("403 Forbidden", "AccessDenied") : nil
        }
        let said = try outcome(bucket, 100_000)
        #expect(said.hasPrefix("denied") && said.contains("s3:PutObject"), "\(said)")
        #expect(bucket.counts[.part(1)] == 1)
        // Parts that were not in progress are not started.
        #expect(bucket.counts[.part(100)] == nil)
        #expect(bucket.openUploads == 0)
    }

    @Test func aPartWithoutATagIsNotTrusted() throws {
        let bucket = try ScriptedBucket { call in
            if case .part = call.kind {
                .complete("200 OK", headers: ["ETag: W/\"x\""])
            } else {
                nil
            }
        }
        #expect(try outcome(bucket).hasPrefix("nonConforming"))
        #expect(bucket.openUploads == 0)
    }

    @Test func anAbortIsRepeated() throws {
        let bucket = try ScriptedBucket { call in
            switch call.kind {
            case .part(1): .error("403 Forbidden", "AccessDenied")
            case .abort where call.number == 1: .error("500 Oops", "InternalError")
            case .abort where call.number == 2: ScriptedServer.Answer.none
            default: nil
            }
        }
        #expect(try outcome(bucket).hasPrefix("denied"))
        #expect(bucket.counts[.abort] == attempts)
        #expect(bucket.openUploads == 0)
    }

    @Test func uploadThatDoesNotBeginEnds() throws {
        for answer in [
            ScriptedServer.Answer.error("403 Forbidden", "AccessDenied"),
            .complete("200 OK", "<InitiateMultipartUploadResult/>"), .complete("200 OK"),
        ] {
            let bucket = try ScriptedBucket { $0.kind == .create ? answer : nil }
            let said = try outcome(bucket)
            #expect(said.hasPrefix("denied") || said.hasPrefix("nonConforming"), "\(said)")
            #expect(bucket.counts == [.head: 1, .create: 1])
        }
    }

    /// The file changes between hashing and sending.
    @Test func aFileThatChangedIsNotStored() throws {
        let bucket = try ScriptedBucket()
        let directory = try TemporaryDirectory()
        try Files.write(bytes(3500), to: directory.path + "/body")
        let stale = ObjectBody.file(
            path: directory.path + "/body", size: 3500, digest: Digest(of: bytes(3499)))
        let longer = ObjectBody.file(
            path: directory.path + "/body", size: 4500, digest: Digest(of: bytes(4500)))
        for (body, expected) in [(stale, "sourceChanged"), (longer, "local")] {
            let error = #expect(throws: StoreError.self) {
                try result(bucket.store(attempts: 3), .put(body, at: key, .ifAbsent))
            }
            let label = error.flatMap { Mirror(reflecting: $0).children.first?.label }
            #expect(label == expected)
        }
        #expect(bucket[key] == nil)
        #expect(bucket.counts[.complete] == nil)
        #expect(bucket.openUploads == 0)
    }
}
