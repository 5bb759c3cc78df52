import Bytes
import ObjectStore
import Synchronization
import TestSupport
import Testing

@testable import S3Store

/// libcurl sends a PUT again automatically if a kept connection turns out to be dead. The answer to
/// the second copy says nothing about the first.
@Suite(.serialized) struct ResendTests {
    private let name: RepositoryName
    private let old = Digest(of: [0])
    private let ours = Digest(of: [1])

    init() throws {
        name = try #require(RepositoryName("acme/site"))
    }

    /// A bucket with a pointer. The first copy of a PUT is applied or not, and its connection
    /// closed; the second is answered with `status`, and further ones normally.
    private final class Bucket: Sendable {
        private let pointer: Mutex<Digest>
        private let puts = Mutex(0)

        init(_ pointer: Digest) { self.pointer = Mutex(pointer) }

        var putCount: Int { puts.withLock { $0 } }

        func answer(
            _ request: ScriptedServer.Request, applying isApplied: Bool, then status: String
        ) -> ScriptedServer.Answer {
            guard request.method == "PUT" else {
                let digest = pointer.withLock { $0 }
                return .complete("200 OK", digest.hex, headers: [etag(digest)])
            }
            let number = puts.withLock { count in
                count += 1
                return count
            }
            if number == 2 { return .complete(status, "<Error><Code>Refused</Code></Error>") }
            if number > 1 || isApplied, let digest = Digest(hex: request.body) {
                pointer.withLock { $0 = digest }
            }
            if number == 1 { return .raw("", then: .close) }
            return .complete("200 OK", headers: [etag(pointer.withLock { $0 })])
        }

        private func etag(_ digest: Digest) -> String { "ETag: \"\(digest.hex.prefix(8))\"" }
    }

    private func advance(
        _ status: String, applying isApplied: Bool
    ) throws -> (advance: PointerAdvance, puts: Int) {
        let bucket = Bucket(old)
        let server = try ScriptedServer { request, _ in
            bucket.answer(request, applying: isApplied, then: status)
        }
        let store = try S3Store(
            location: "s3://bucket?endpoint=http://127.0.0.1:\(server.port)",
            environment: ["AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"],
            retryPolicy: RetryPolicy(attempts: 3, base: .milliseconds(1)))
        // The PUT has to be sent on a connection that was used before.
        let seen = try #require(try store.readPointer(of: name))
        let advance = try store.advancePointer(
            of: name, expecting: seen.etag, to: ours, lineage: { _ in .excludesOurs })
        return (advance, bucket.putCount)
    }

    // P9
    @Test(arguments: [
        "403 Forbidden", "401 Unauthorized", "400 Bad Request", "404 Not Found",
        "301 Moved Permanently", "412 Precondition Failed",
    ])
    func aRefusalOfTheSecondCopyHidesAWin(_ status: String) throws {
        let (advance, puts) = try advance(status, applying: true)
        guard case .won = advance else {
            Issue.record("\(advance)")
            return
        }
        #expect(puts == 2)
    }

    // P9
    @Test func aRefusalOfTheSecondCopyIsNotTheEndWhereTheFirstDidNothing() throws {
        let (advance, puts) = try advance("403 Forbidden", applying: false)
        guard case .won = advance else {
            Issue.record("\(advance)")
            return
        }
        #expect(puts == 3)
    }

    @Test func aRefusalOfTheOnlyCopyIsOne() throws {
        let server = try ScriptedServer { _, _ in .complete("403 Forbidden") }
        let store = try S3Store(
            location: "s3://bucket?endpoint=http://127.0.0.1:\(server.port)",
            environment: ["AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"],
            retryPolicy: RetryPolicy(attempts: 3, base: .milliseconds(1)))
        #expect {
            _ = try store.advancePointer(
                of: name, expecting: nil, to: ours, lineage: { _ in .excludesOurs })
        } throws: { error in
            if case StoreError.denied(let attempt, _) = error { !attempt.wasResent } else { false }
        }
        #expect(server.requests.count == 1)
    }
}
