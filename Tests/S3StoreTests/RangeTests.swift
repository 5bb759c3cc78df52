import Bytes
import Glibc
import ObjectStore
import Posix
import Synchronization
import TestSupport
import Testing

@testable import S3Store

/// Downloads in ranges from a server that misbehaves.
@Suite(.serialized) struct RangeTests {
    private let directory: TemporaryDirectory
    private let attempts = 3
    private var path: String { directory.path + "/file" }

    init() throws {
        directory = try TemporaryDirectory()
    }

    /// Bytes in which no two ranges are equal.
    private func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 ^ ($0 >> 8) &* 31) }
    }

    private func key(_ count: Int) -> ObjectKey { .pack(Digest(of: bytes(count))) }

    /// A bucket with an object of this many bytes.
    private func bucket(
        _ count: Int, _ fault: @escaping @Sendable (ScriptedBucket.Call) -> ScriptedServer.Answer?
    ) throws -> ScriptedBucket {
        let bucket = try ScriptedBucket(fault)
        bucket[key(count)] = bytes(count)
        return bucket
    }

    /// Reads an object of this many bytes into a file, once.
    private func answer(_ bucket: ScriptedBucket, _ count: Int) throws -> StoreAnswer {
        let store = try bucket.store(attempts: attempts)
        return try #require(store.perform([.get(key(count), into: .file(path))]).first).get()
    }

    private func expectWhole(_ answer: StoreAnswer, _ count: Int) throws {
        guard case .found(let object) = answer else {
            Issue.record("\(answer)")
            return
        }
        #expect(object.size == Int64(count))
        #expect(object.digest == Digest(of: bytes(count)))
        #expect(object.etag != nil)
        #expect(try Files.read(path) == bytes(count))
    }

    private func failure(_ bucket: ScriptedBucket, _ count: Int) -> String {
        do {
            return "no failure: \(try answer(bucket, count))"
        } catch {
            return "\(Mirror(reflecting: error).children.first?.label ?? ""): \(error)"
        }
    }

    @Test(arguments: [1, 999, 1000, 1001, 1999, 2000, 2001, 4000, 10_500, 20_000])
    func anObjectArrivesWhole(_ count: Int) throws {
        let bucket = try bucket(count) { _ in nil }
        try Files.write(bytes(30_000), to: path)
        try expectWhole(answer(bucket, count), count)

        let wanted = stride(from: 0, to: max(count, 1), by: 1000).map { start in
            "bytes=\(start)-\(start == 0 ? 999 : min(start + 1000, count) - 1)"
        }
        #expect(bucket.ranges.first == wanted.first)
        #expect(bucket.ranges.sorted() == wanted.sorted())
        let tags = bucket.calls.dropFirst().map { $0.request.headers["if-match"] }
        #expect(tags.allSatisfy { $0 == "\"tag-1\"" })
        #expect(bucket.calls.first?.request.headers["if-match"] == nil)
    }

    @Test func anEmptyObjectIsAnEmptyFile() throws {
        let bucket = try bucket(0) { _ in nil }
        try Files.write(bytes(10), to: path)
        try expectWhole(answer(bucket, 0), 0)
        #expect(bucket.ranges == ["bytes=0-999", "all"])
    }

    @Test func absentObjectCreatesNoFile() throws {
        let bucket = try ScriptedBucket()
        guard case .absent = try answer(bucket, 5) else {
            Issue.record("found")
            return
        }
        #expect(try Files.size(of: path) == nil)
        #expect(bucket.ranges.count == 1)
    }

    /// The other ranges are requested as soon as the head of the first answer has arrived.
    @Test func rangesComeTogether() throws {
        let gate = Gate(openingAt: 7)
        let bucket = try bucket(8000) { call in
            if call.number > 1 { gate.pass(upTo: .seconds(5)) }
            return nil
        }
        try expectWhole(answer(bucket, 8000), 8000)
        #expect(gate.isOpen)
    }

    @Test func manyObjectsOfAllSizesComeAtOnce() throws {
        let bucket = try ScriptedBucket()
        let counts = [5500, 1, 1000, 1001, 20_000, 17, 2000, 999, 3001]
        for count in counts { bucket[key(count)] = bytes(count) }
        let found = try bucket.store().download(
            counts.map { count in
                Download(
                    key: key(count), digest: Digest(of: bytes(count)),
                    path: "\(directory.path)/\(count)")
            })
        #expect(found.allSatisfy { $0 })
        for count in counts {
            #expect(try Files.read("\(directory.path)/\(count)") == bytes(count))
        }
    }

    @Test func noMoreFilesAreOpenThanAreWrittenTo() throws {
        let most = Mutex(0)
        let links = directory.path + "/"
        let bucket = try ScriptedBucket { _ in
            let count = openFiles(below: links)
            most.withLock { $0 = max($0, count) }
            return nil
        }
        let counts = (1...60).map { $0 * 50 }
        for count in counts { bucket[key(count)] = bytes(count) }
        _ = try bucket.store().download(
            counts.map { Download(key: key($0), digest: nil, path: "\(directory.path)/\($0)") })
        #expect((1...8).contains(most.withLock { $0 }))
    }

    @Test(arguments: [0, 1, 2, 3], [0, 1, 300, 499])
    func aCutRangeGoesOnFromWhereItEnded(_ part: Int, _ length: Int) throws {
        let start = part * 1000
        let gate = Gate()
        let bucket = try bucket(3500) { call in
            call.request.headers["range"]?.hasPrefix("bytes=\(start)-") == true && gate.open()
                ? call.apply().cut(after: length) : nil
        }
        try expectWhole(answer(bucket, 3500), 3500)
        let last = part == 3 ? 3499 : start + 999
        let rest = "bytes=\(start + length)-\(last)"
        let resumed = bucket.calls.last { $0.request.headers["range"] == rest }
        #expect(resumed?.request.headers["if-match"] == "\"tag-1\"", "\(bucket.ranges)")
        #expect(bucket.ranges.count == 5)
    }

    /// All bytes arrive, but the answer does not end properly.
    @Test func rangeCutAfterItsLastByteIsComplete() throws {
        let bucket = try bucket(3500) { call in
            guard call.request.headers["range"] == "bytes=1000-1999" else { return nil }
            let answer = call.apply()
            let isChunked = answer.replacing("Content-Length", with: "X-Length")
                .replacing(
                    "206 Partial Content\r\n", with: "206 P\r\nTransfer-Encoding: chunked\r\n")
            let body = answer.bytes.suffix(1000)
            let size = String(body.count, radix: 16)
            return ScriptedServer.Answer(
                bytes: isChunked.bytes.dropLast(body.count) + Array("\(size)\r\n".utf8) + body,
                then: .close)
        }
        try expectWhole(answer(bucket, 3500), 3500)
        #expect(bucket.ranges.count == 4)
    }

    @Test func aRangeThatKeepsFailingFailsTheDownload() throws {
        let bucket = try bucket(3500) { call in
            call.request.headers["range"]?.hasPrefix("bytes=1") == true
                ? call.apply().cut(after: 1) : nil
        }
        #expect(failure(bucket, 3500).hasPrefix("unreachable"))
        let tries = bucket.ranges.filter { $0.hasPrefix("bytes=1") }
        #expect(tries == ["bytes=1000-1999", "bytes=1001-1999", "bytes=1002-1999"])
    }

    @Test func aBusyServerIsAskedAgainForTheRangeAlone() throws {
        let gate = Gate()
        let bucket = try bucket(3500) { call in
            call.request.headers["range"] == "bytes=2000-2999" && gate.open()
                ? .error("503 Slow Down", "SlowDown") : nil
        }
        try expectWhole(answer(bucket, 3500), 3500)
        #expect(bucket.ranges.count == 5)
        #expect(bucket.ranges.count { $0 == "bytes=2000-2999" } == 2)
    }

    @Test func aServerThatIgnoresRangesSendsTheWhole() throws {
        let bucket = try bucket(3500) { call in
            .bytes("200 OK", Array(repeating: 7, count: 3500), headers: ["ETag: \"t\""])
        }
        guard case .found(let object) = try answer(bucket, 3500) else {
            Issue.record("not found")
            return
        }
        #expect(object.size == 3500)
        #expect(object.digest == Digest(of: Array(repeating: 7, count: 3500)))
        #expect(bucket.ranges.count == 1)
        #expect(try Files.size(of: path) == 3500)
    }

    @Test(arguments: [
        "bytes 1-1000/3500", "bytes 0-998/3500", "bytes 0-999/*", "bytes 0-999", "bytes 0-999/9",
        "bytes 0-3499/3500", "bytes 0-999/1000",
    ])
    func anotherRangeThanWasAskedForIsNotTaken(_ value: String) throws {
        let bucket = try bucket(3500) { call in
            call.number == 1 ? call.apply().replacing("bytes 0-999/3500", with: value) : nil
        }
        if value == "bytes 0-999/1000" {
            // The digest reveals a size that is wrong from the beginning.
            let store = try bucket.store()
            let download = Download(
                key: key(3500), digest: Digest(of: bytes(3500)), path: path)
            guard
                case .corrupt? = #expect(
                    throws: StoreError.self, performing: { try store.download([download]) })
            else {
                Issue.record("not corrupt")
                return
            }
        } else {
            #expect(failure(bucket, 3500).hasPrefix("nonConforming"))
            #expect(bucket.ranges.count == 1)
        }
    }

    @Test(arguments: [
        ("bytes 2000-2999/3500", "bytes 1000-1999/3500"),
        ("bytes 2000-2999/3500", "bytes 2000-2999/3600"), ("ETag: \"tag-1\"", "ETag: \"tag-2\""),
        ("ETag: \"tag-1\"", "X: y"), ("Content-Range", "X-Range"),
        ("206 Partial Content", "200 OK"),
    ])
    func aPartOfSomethingElseIsNotTaken(_ text: String, _ other: String) throws {
        let bucket = try bucket(3500) { call in
            call.request.headers["range"] == "bytes=2000-2999"
                ? call.apply().replacing(text, with: other) : nil
        }
        #expect(failure(bucket, 3500).hasPrefix("nonConforming"))
    }

    @Test func anAnswerWithoutATagIsNotTrusted() throws {
        let bucket = try bucket(3500) { $0.apply().replacing("\"tag-1\"", with: "W/\"tag-1\"") }
        #expect(failure(bucket, 3500).hasPrefix("nonConforming"))
    }

    /// A derived object may be replaced while it is read.
    @Test func objectReplacedDuringADownloadIsReadAgain() throws {
        let replacing = Replacing()
        let bucket = try ScriptedBucket { call in
            if call.number == 2 { replacing.make() }
            return nil
        }
        let (old, new) = (bytes(3500), [UInt8](bytes(4500).reversed()))
        let key = ObjectKey.packIndex(Digest(of: old))
        bucket[key] = old
        replacing.set { [unowned bucket] in bucket[key] = new }
        let found = try bucket.store(attempts: attempts).download([
            Download(key: key, digest: nil, path: path)
        ])
        #expect(found == [true])
        #expect(try Files.read(path) == new)
    }

    @Test func anObjectThatVanishesIsAnError() throws {
        let bucket = try bucket(3500) { call in
            call.number > 1 ? .error("404 Not Found", "NoSuchKey") : nil
        }
        #expect(failure(bucket, 3500).hasPrefix("rejected"))
    }

    @Test func aDeniedReadSaysWhatToAllow() throws {
        let bucket = try bucket(3500) { _ in .error("403 Forbidden", "AccessDenied") }
        let said = failure(bucket, 3500)
        #expect(said.hasPrefix("denied") && said.contains("s3:GetObject"), "\(said)")
    }

    @Test func aShortAnswerIsNotTakenForTheRange() throws {
        let bucket = try bucket(3500) { call in
            guard call.request.headers["range"] == "bytes=1000-1999" else { return nil }
            let whole = call.apply().replacing("Content-Length: 1000", with: "Content-Length: 400")
            return ScriptedServer.Answer(bytes: Array(whole.bytes.dropLast(600)))
        }
        try expectWhole(answer(bucket, 3500), 3500)
        #expect(bucket.ranges.contains("bytes=1400-1999"))
    }

    @Test func moreThanTheRangeIsNotTaken() throws {
        let bucket = try bucket(3500) { call in
            guard call.request.headers["range"] == "bytes=1000-1999" else { return nil }
            let answer = call.apply().replacing(
                "Content-Length: 1000", with: "Content-Length: 1001")
            return ScriptedServer.Answer(bytes: answer.bytes + [0])
        }
        #expect(failure(bucket, 3500).hasPrefix("nonConforming"))
    }

    @Test(arguments: [500, 3500])
    func bytesThatAreNotWhatTheirNameSaysAreCorrupt(_ count: Int) throws {
        for damage in [[UInt8](bytes(count).dropLast()), bytes(count).map { $0 ^ 1 }] {
            let bucket = try ScriptedBucket()
            bucket[key(count)] = damage
            let store = try bucket.store(attempts: attempts)
            let download = Download(
                key: key(count), digest: Digest(of: bytes(count)), path: path)
            let error = #expect(throws: StoreError.self) { try store.download([download]) }
            guard case .corrupt? = error else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
    }

    @Test(arguments: [500, 3500])
    func aFullDiskIsALocalErrorThatNamesTheFile(_ count: Int) throws {
        let bucket = try bucket(count) { _ in nil }
        let store = try bucket.store(attempts: attempts)
        let request = StoreRequest.get(key(count), into: .file("/dev/full"))
        let error = #expect(throws: StoreError.self) {
            try #require(store.perform([request]).first).get()
        }
        guard case .local(_, let cause)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(cause.code == ENOSPC)
        #expect(cause.subject == "/dev/full")
    }
}

/// How many files of a directory this process has open. `/proc/self/fd` of proc(5).
private func openFiles(below directory: String) -> Int {
    let names = (try? Files.names(in: "/proc/self/fd")) ?? []
    return names.count { name in
        var target = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/fd/\(name)", &target, target.count)
        let bytes = target.prefix(max(length, 0)).map { UInt8(bitPattern: $0) }
        return bytes.starts(with: directory.utf8)
    }
}

/// An action of a server's thread that can only be set after the server has started.
private final class Replacing: @unchecked Sendable {
    private let monitor = Monitor()
    private var body: @Sendable () -> Void = {}

    func set(_ body: @escaping @Sendable () -> Void) { monitor.locked { self.body = body } }

    func make() { monitor.locked { body }() }
}
