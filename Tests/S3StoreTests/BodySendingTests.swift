import Bytes
import Glibc
import ObjectStore
import Posix
import Synchronization
import TestSupport
import Testing

@testable import S3Store

/// The bytes that arrive are those that were hashed (P6), or the body arrives incomplete.
@Suite(.serialized) struct BodySendingTests {
    private let key = ObjectKey.probe(run: "r", name: "n")
    private let directory: TemporaryDirectory
    private let path: String

    init() throws {
        directory = try TemporaryDirectory()
        path = directory.path + "/body"
    }

    private func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 ^ ($0 >> 8) &* 31) }
    }

    private func store(_ server: ScriptedServer, attempts: Int = 1) throws -> S3Store {
        try S3Store(
            location: "s3://bucket?endpoint=http://127.0.0.1:\(server.port)&stall-timeout=2",
            environment: ["AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"],
            retryPolicy: RetryPolicy(attempts: attempts, base: .milliseconds(1)))
    }

    /// A file that was hashed, and in which one bit was changed afterwards.
    private func changed(_ count: Int, at index: Int) throws -> ObjectBody {
        var content = bytes(count)
        let body = ObjectBody.file(
            path: path, size: Int64(count), digest: Digest(of: content))
        content[index] ^= 1
        try Files.write(content, to: path)
        return body
    }

    private func error(_ store: S3Store, _ request: StoreRequest) throws -> StoreError? {
        guard case .failure(let error)? = store.perform([request]).first else { return nil }
        return error
    }

    /// Small and large, in the first byte and in the last.
    @Test(arguments: [(1, 0), (1000, 999), (3_000_000, 0), (3_000_000, 2_999_999)])
    func changedFileNeverArrivesComplete(_ count: Int, _ index: Int) throws {
        let server = try ScriptedServer { _, _ in .complete("200 OK", headers: ["ETag: \"t\""]) }
        let body = try changed(count, at: index)
        let error = try #require(
            try error(store(server, attempts: 3), .put(body, at: key, .always)))
        guard case .sourceChanged = error else {
            Issue.record("\(error)")
            return
        }
        #expect("\(error)".contains(path) && "\(error)".contains(key.path), "\(error)")
        #expect(!error.isTransient && !error.leavesWriteUnknown)
        // The server counts a request once its body is complete.
        #expect(server.requests.isEmpty)
    }

    @Test func changedBytesInMemoryAreNotSentEither() throws {
        let server = try ScriptedServer { _, _ in .complete("200 OK", headers: ["ETag: \"t\""]) }
        for bytes in [[], [2]] as [[UInt8]] {
            let put = StoreRequest.put(.bytes(bytes, Digest(of: [1])), at: key, .always)
            guard case .sourceChanged? = try error(store(server), put) else {
                Issue.record("it was sent")
                return
            }
        }
        #expect(server.requests.isEmpty)
    }

    @Test func readingAgainHashesAgain() throws {
        let content = bytes(5000)
        try Files.write(content, to: path)
        let whole = ObjectBody.file(path: path, size: 5000, digest: Digest(of: content))
        let source = try UploadSource(HTTPBody(whole), takesMD5: true)
        var chunk = [UInt8](repeating: 0, count: 1024)
        func readAll(upTo most: Int = .max) throws -> Int {
            var total = 0
            while total < most {
                let count = try chunk.withUnsafeMutableBytes { try source.read(into: $0) }
                if count == 0 { break }
                total += count
            }
            return total
        }
        #expect(try readAll(upTo: 2000) == 2048)
        #expect(source.seek(to: 0))
        #expect(try readAll() == 5000)
        #expect(source.hasSentAll && source.md5 == MD5.hash(of: content))
        #expect(source.seek(to: 0))
        #expect(try readAll() == 5000)
        #expect(source.md5 == MD5.hash(of: content))
        #expect(!source.seek(to: 10))

        var other = content
        other[4999] ^= 1
        try Files.write(other, to: path)
        #expect(source.seek(to: 0))
        #expect(throws: UploadSource.Failure.self) { try readAll() }
    }

    /// libcurl sends the body again on a new connection, after the file has changed. The first copy
    /// was complete and may have been stored.
    @Test func fileThatChangesBeforeASecondCopyLeavesTheWriteUnknown() throws {
        let content = bytes(100)
        try Files.write(content, to: path)
        let server = try ScriptedServer { [path] _, number in
            guard number == 2 else { return .complete("200 OK", headers: ["ETag: \"t\""]) }
            // A failure shows in the assertions below.
            try? Files.write([UInt8](repeating: 0, count: 100), to: path)
            return .raw("", then: .close)
        }
        let store = try store(server)
        let body = ObjectBody.file(path: path, size: 100, digest: Digest(of: content))
        #expect(try error(store, .put(body, at: key, .always)) == nil)
        let error = try #require(try error(store, .put(body, at: key, .always)))
        #expect(error.leavesWriteUnknown, "\(error)")
        #expect(server.requests.map(\.body) == [content, content])
    }

    /// A server, or a proxy in front of it, that reads no body and claims to have stored it.
    @Test(arguments: [Dialect.etagIsMD5, []])
    func successBeforeTheWholeBodyWasSentIsAnError(_ dialect: Dialect) throws {
        let listener = try ListeningSocket()
        // They stay open, unread, until the end of the test.
        let connections = Mutex<[Int32]>([])
        defer {
            listener.stop()
            for raw in connections.withLock({ $0 }) { close(raw) }
        }
        _ = try Posix.Thread {
            while let connection = listener.accept() {
                var start = [UInt8](repeating: 0, count: 1000)
                let raw = connection.release()
                connections.withLock { $0.append(raw) }
                recv(raw, &start, start.count, 0)
                let answer = "HTTP/1.1 200 OK\r\nETag: \"t\"\r\nConnection: close\r\n"
                // A failure shows in the assertions below.
                try? writeAll(raw, Array((answer + "Content-Length: 0\r\n\r\n").utf8))
                shutdown(raw, Int32(SHUT_WR))
            }
        }
        let store = try S3Store(
            location: "s3://bucket?endpoint=http://127.0.0.1:\(listener.port)&stall-timeout=2",
            environment: ["AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"],
            retryPolicy: RetryPolicy(attempts: 1))
        // More than the buffers of the sockets hold.
        let body = ObjectBody.bytes([UInt8](repeating: 1, count: 40 << 20))
        let result = try #require(store.speaking(dialect)).perform([.put(body, at: key, .always)])
        guard case .failure(let error)? = result.first else {
            Issue.record("\(result)")
            return
        }
        #expect(error.leavesWriteUnknown, "\(error)")
    }

    /// A part is read twice: to be hashed and to be sent.
    @Test func partThatChangesBeforeItIsSentAgainIsNotCompleted() throws {
        let content = bytes(3500)
        try Files.write(content, to: path)
        let bucket = try ScriptedBucket { [path] call in
            guard call.kind == .part(2), call.number == 1 else { return nil }
            var other = content
            other[1500] ^= 1
            // A failure shows in the assertions below.
            try? Files.write(other, to: path)
            return .error("503 Slow Down", "SlowDown")
        }
        let body = ObjectBody.file(path: path, size: 3500, digest: Digest(of: content))
        let error = try #require(
            try error(bucket.store(attempts: 4), .put(body, at: key, .ifAbsent)))
        guard case .sourceChanged = error else {
            Issue.record("\(error)")
            return
        }
        #expect(bucket.counts[.part(2)] == 1)
        #expect(bucket.counts[.complete] == nil)
        #expect(bucket.counts[.abort] == 1)
        #expect(bucket.openUploads == 0 && bucket[key] == nil)
    }
}
