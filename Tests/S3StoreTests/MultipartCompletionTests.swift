import ObjectStore
import Posix
import Synchronization
import Testing

@testable import S3Store

/// The end of an upload in parts.
@Suite(.serialized) struct MultipartCompletionTests {
    private let body = ObjectBody.bytes((0..<3500).map { UInt8(truncatingIfNeeded: $0 * 7) })
    private var key: ObjectKey { .pack(body.digest) }
    private let attempts = 3

    private var bytes: [UInt8] {
        if case .bytes(let bytes, _) = body { bytes } else { [] }
    }

    /// The result of one PUT, in words.
    private func outcome(
        _ bucket: ScriptedBucket, _ condition: PutCondition = .ifAbsent
    ) throws -> String {
        let store = try bucket.store(attempts: attempts)
        switch try #require(store.perform([.put(body, at: key, condition)]).first) {
        case .success(let answer): return "\(answer)"
        case .failure(let error):
            return "\(Mirror(reflecting: error).children.first?.label ?? ""): \(error)"
        }
    }

    private func failure(_ bucket: ScriptedBucket) throws -> StoreError? {
        #expect(throws: StoreError.self) {
            try bucket.store(attempts: attempts).write([.pack(body)])
        }
    }

    /// Another uploader of the same object may have been faster, with a body that arrived damaged:
    /// after an unclear answer, the size of an existing object does not prove that it is ours. (P7)
    @Test func objectAfterADoubtfulAnswerIsProvenByItsContent() throws {
        let (key, size) = (key, bytes.count)
        for isDamaged in [false, true] {
            let rival = isDamaged ? [UInt8](repeating: 0, count: size) : bytes
            let place = Mutex<ScriptedBucket?>(nil)
            let bucket = try ScriptedBucket { call in
                guard call.kind == .complete else { return nil }
                place.withLock { $0?[key] = rival }
                return .error("500 Oops", "InternalError")
            }
            place.withLock { $0 = bucket }
            let store = try bucket.store(attempts: attempts)
            if isDamaged {
                let error = #expect(throws: StoreError.self) { try store.write([.pack(body)]) }
                guard case .corrupt(key, _)? = error else {
                    Issue.record("\(String(describing: error))")
                    continue
                }
            } else {
                try store.write([.pack(body)])
            }
            #expect(bucket.counts[.get] == 1)
        }
    }

    @Test func aLostAnswerIsReplacedByALook() throws {
        let bucket = try ScriptedBucket { call in
            guard call.kind == .complete else { return nil }
            _ = call.apply()
            return ScriptedServer.Answer.none
        }
        #expect(try outcome(bucket, .always).hasPrefix("stored"))
        #expect(bucket[key] == bytes)
        #expect(bucket.counts[.complete] == 1)
        #expect(bucket.counts[.abort] == nil)
        #expect(bucket.calls.last?.kind == .head)
    }

    @Test func aRequestThatGotLostIsRepeated() throws {
        let bucket = try ScriptedBucket { call in
            call.kind == .complete && call.number < 3 ? ScriptedServer.Answer.none : nil
        }
        #expect(try outcome(bucket).hasPrefix("stored"))
        #expect(bucket[key] == bytes)
        #expect(bucket.counts[.complete] == 3)
        #expect(bucket.counts[.create] == 1)
    }

    /// The server may still be assembling the parts: an abort could leave an object without them.
    @Test func uploadThatMayStillCompleteIsNotAborted() throws {
        let bucket = try ScriptedBucket { call in
            call.kind == .complete ? ScriptedServer.Answer.none : nil
        }
        #expect(try outcome(bucket).hasPrefix("unreachable"))
        #expect(bucket.counts[.complete] == attempts)
        #expect(bucket.counts[.abort] == nil)
    }

    @Test(arguments: ["InternalError", "SomethingNew"])
    func anErrorInA200IsNoSuccess(_ code: String) throws {
        let broken = try ScriptedBucket { call in
            call.kind == .complete ? .error("200 OK", code) : nil
        }
        #expect(try outcome(broken).hasPrefix("unavailable"))
        #expect(broken.counts[.complete] == attempts)
        #expect(broken.openUploads == 0)
        #expect(broken[key] == nil)

        let passing = try ScriptedBucket { call in
            call.kind == .complete && call.number == 1 ? .error("200 OK", code) : nil
        }
        #expect(try outcome(passing).hasPrefix("stored"))
        #expect(passing[key] == bytes)
    }

    @Test(arguments: ["InvalidPart", "EntityTooSmall"])
    func aRefusalInA200EndsTheUpload(_ code: String) throws {
        let bucket = try ScriptedBucket { call in
            call.kind == .complete ? .error("200 OK", code) : nil
        }
        #expect(try outcome(bucket).hasPrefix("rejected"))
        #expect(bucket.counts[.complete] == 1)
        #expect(bucket.openUploads == 0)
    }

    @Test(arguments: ["", "<html>", "   \n"])
    func ambiguousStatus200IsLookedInto(_ text: String) throws {
        let done = try ScriptedBucket { call in
            guard call.kind == .complete else { return nil }
            _ = call.apply()
            return .complete("200 OK", text)
        }
        #expect(try outcome(done, .always).hasPrefix("stored"))
        let notDone = try ScriptedBucket { call in
            call.kind == .complete ? .complete("200 OK", text) : nil
        }
        #expect(try outcome(notDone).hasPrefix("unavailable"))
        #expect(notDone.openUploads == 0)
    }

    /// As after libcurl sent the request again because a connection died.
    @Test func vanishedUploadMayHaveBeenCompleted() throws {
        let bucket = try ScriptedBucket { call in
            guard call.kind == .complete else { return nil }
            _ = call.apply()
            return call.apply()
        }
        #expect(try outcome(bucket, .always).hasPrefix("stored"))
        #expect(bucket[key] == bytes)
        #expect(bucket.counts[.complete] == 1)
    }

    @Test func abortedUploadIsBegunAgain() throws {
        let bucket = try ScriptedBucket { call in
            call.kind == .complete && call.number == 1
                ? .error("404 Not Found", "NoSuchUpload") : nil
        }
        try bucket.store(attempts: attempts).write([.pack(body)])
        #expect(bucket[key] == bytes)
        #expect(bucket.counts[.create] == 2)
    }

    @Test func existingObjectIsNotSentAgain() throws {
        let bucket = try ScriptedBucket()
        bucket[key] = bytes
        #expect(try outcome(bucket).contains("conditionFailed"))
        #expect(bucket.counts == [.head: 1])
        try bucket.store().write([.pack(body)])
        #expect(bucket.counts[.create] == nil)
    }

    @Test func objectOfAnotherSizeIsCorrupt() throws {
        let bucket = try ScriptedBucket()
        bucket[key] = Array(bytes.dropLast())
        guard case .corrupt? = try failure(bucket) else {
            Issue.record("taken for the same")
            return
        }
        #expect(bucket[key]?.count == 3499)
        #expect(bucket.counts[.create] == nil)
    }

    /// Another uploader of the same object was faster.
    @Test func failedConditionMeansThatTheObjectExists() throws {
        let bucket = try ScriptedBucket { call in
            guard call.kind == .complete else { return nil }
            return .error("412 Precondition Failed", "PreconditionFailed")
        }
        #expect(try outcome(bucket).contains("conditionFailed"))
        #expect(bucket.counts[.abort] == 1)
        #expect(bucket.openUploads == 0)
        // A 412 alone is no proof: a HEAD checks that the object exists.
        guard case .nonConforming? = try failure(bucket) else {
            Issue.record("a 412 alone was believed")
            return
        }
    }

    @Test func conflictStartsAgain() throws {
        let bucket = try ScriptedBucket { call in
            call.kind == .complete && call.number == 1
                ? .error("409 Conflict", "ConditionalRequestConflict") : nil
        }
        try bucket.store(attempts: attempts).write([.pack(body)])
        #expect(bucket[key] == bytes)
        #expect(bucket.counts[.create] == 2)
        #expect(bucket.openUploads == 0)
    }

    @Test func aBackendWithoutTheConditionGetsNone() throws {
        let bucket = try ScriptedBucket { call in
            call.kind == .complete && call.request.headers["if-none-match"] != nil
                ? .error("501 Not Implemented", "NotImplemented") : nil
        }
        #expect(try outcome(bucket).hasPrefix("stored"))
        #expect(bucket[key] == bytes)
        #expect(bucket.counts[.create] == 1)

        let never = try ScriptedBucket { call in
            call.kind == .complete ? .error("501 Not Implemented", "NotImplemented") : nil
        }
        #expect(try outcome(never).hasPrefix("rejected"))
        #expect(never.counts[.complete] == 2)
        #expect(never.openUploads == 0)
    }

    @Test func plainWriteReplacesTheObject() throws {
        let bucket = try ScriptedBucket()
        bucket[key] = [1]
        #expect(try outcome(bucket, .always).hasPrefix("stored"))
        #expect(bucket[key] == bytes)
        let completion = bucket.calls.first { $0.kind == .complete }
        #expect(completion?.request.headers["if-none-match"] == nil)
    }

    /// An object that existed before proves nothing, even if it has the right size.
    @Test func aPlainWriteIsNotMistakenForWhatWasThere() throws {
        let bucket = try ScriptedBucket { call in
            call.kind == .complete && call.number == 1 ? ScriptedServer.Answer.none : nil
        }
        bucket[key] = Array(repeating: 0, count: 3500)
        #expect(try outcome(bucket, .always).hasPrefix("stored"))
        #expect(bucket[key] == bytes)
        #expect(bucket.counts[.complete] == 2)
    }

    @Test func anObjectOfAnotherSizeThanWasSentIsCorrupt() throws {
        let bucket = try ScriptedBucket { call in
            guard call.kind == .head, call.number > 1 else { return nil }
            return call.apply().replacing("Content-Length: 3500", with: "Content-Length: 3499")
        }
        #expect(try outcome(bucket).hasPrefix("corrupt"))
    }

    @Test func aLookThatFailsIsRepeated() throws {
        let bucket = try ScriptedBucket { call in
            (2...3).contains(call.number) && call.kind == .head
                ? .error("503 Slow Down", "SlowDown") : nil
        }
        #expect(try outcome(bucket).hasPrefix("stored"))
        #expect(bucket.counts[.complete] == 1)
    }
}
