import Bytes
import ObjectStore
import Posix
import Synchronization

@testable import S3Store

/// Objects behind a ``ScriptedServer``, with ranges and multipart uploads, and with the faults that
/// a test chooses.
final class ScriptedBucket: Sendable {
    typealias Answer = ScriptedServer.Answer

    /// A request's kind.
    enum Kind: Hashable, Sendable {
        case head, get, put, create, complete, abort
        /// Counted from 1.
        case part(Int)
    }

    /// A request that arrived.
    struct Call: Sendable {
        let kind: Kind
        /// The number of requests of its kind so far, including this one.
        let number: Int
        let request: ScriptedServer.Request
        /// Applies the request, and returns the regular answer.
        let apply: @Sendable () -> Answer
    }

    struct Object: Sendable, Equatable {
        var bytes: [UInt8]
        var etag: String
    }

    fileprivate struct State {
        var objects: [String: Object] = [:]
        var uploads: [String: [Int: [UInt8]]] = [:]
        var calls: [Call] = []
        var serial = 0
    }

    fileprivate final class Shared: Sendable {
        let state = Mutex(State())
    }

    private let shared = Shared()
    private let server: ScriptedServer

    /// - Parameter fault: the answer to a call that replaces the regular one; nil for the regular
    ///   one.
    init(_ fault: @escaping @Sendable (Call) -> Answer? = { _ in nil }) throws {
        server = try ScriptedServer { [shared] request, _ in
            let call = shared.note(request)
            return fault(call) ?? call.apply()
        }
    }

    /// A store in the bucket that sends more than 1000 bytes in parts of 1000.
    func store(attempts: Int = 1, items: String = "") throws -> S3Store {
        let environment = ["AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"]
        var location = try S3Location(
            "s3://bucket?endpoint=http://127.0.0.1:\(server.port)&stall-timeout=2" + items,
            environment: environment)
        location.partSizes = PartSizes(threshold: 1000, part: 1000)
        return try S3Store(
            at: location, environment: environment,
            retryPolicy: RetryPolicy(attempts: attempts, base: .milliseconds(1)))
    }

    /// The bytes stored at a key.
    subscript(_ key: ObjectKey) -> [UInt8]? {
        get { shared.state.withLock { $0.objects[key.path]?.bytes } }
        set {
            shared.state.withLock { state in
                state.objects[key.path] = newValue.map { state.object($0) }
            }
        }
    }

    /// Uploads that are neither completed nor aborted.
    var openUploads: Int { shared.state.withLock { $0.uploads.count } }

    var calls: [Call] { shared.state.withLock { $0.calls } }

    /// The number of requests of each kind.
    var counts: [Kind: Int] { Dictionary(calls.map { ($0.kind, 1) }, uniquingKeysWith: +) }

    /// The ranges that GETs requested.
    var ranges: [String] {
        calls.filter { $0.kind == .get }.map { $0.request.headers["range"] ?? "all" }
    }
}

extension ScriptedBucket.Shared {
    fileprivate func note(_ request: ScriptedServer.Request) -> ScriptedBucket.Call {
        let target = ScriptedBucket.Target(request)
        return state.withLock { state in
            let number = state.calls.count { $0.kind == target.kind } + 1
            let call = ScriptedBucket.Call(kind: target.kind, number: number, request: request) {
                [self] in
                self.state.withLock { $0.carryOut(request, target) }
            }
            state.calls.append(call)
            return call
        }
    }
}

extension ScriptedBucket {
    /// The target of a request.
    fileprivate struct Target {
        let key: String
        let kind: Kind
        var upload = ""

        init(_ request: ScriptedServer.Request) {
            let halves = request.target.split(separator: "?", maxSplits: 1)
            key = String(halves[0].dropFirst("/bucket/".count))
            var items: [String: String] = [:]
            for item in halves.count > 1 ? halves[1].split(separator: "&") : [] {
                let sides = item.split(separator: "=", omittingEmptySubsequences: false)
                items[String(sides[0])] = String(sides[1])
            }
            upload = items["uploadId"] ?? ""
            kind =
                switch request.method {
                case "HEAD": .head
                case "GET": .get
                case "DELETE": .abort
                case "POST": items["uploads"] == nil ? .complete : .create
                default: items["partNumber"].flatMap { Int($0) }.map(Kind.part) ?? .put
                }
        }
    }
}

extension ScriptedBucket.State {
    fileprivate mutating func object(_ bytes: [UInt8]) -> ScriptedBucket.Object {
        serial += 1
        return ScriptedBucket.Object(bytes: bytes, etag: "\"tag-\(serial)\"")
    }

    fileprivate mutating func carryOut(
        _ request: ScriptedServer.Request, _ target: ScriptedBucket.Target
    ) -> ScriptedServer.Answer {
        let isTaken = request.headers["if-none-match"] == "*" && objects[target.key] != nil
        switch target.kind {
        case .head:
            guard let object = objects[target.key] else { return .complete("404 Not Found") }
            return .raw(
                "HTTP/1.1 200 OK\r\nETag: \(object.etag)\r\nContent-Length: "
                    + "\(object.bytes.count)\r\n\r\n", then: .goOn)
        case .get: return get(request, target.key)
        case .put:
            if isTaken { return .error("412 Precondition Failed", "PreconditionFailed") }
            let stored = object(request.body)
            objects[target.key] = stored
            return .complete("200 OK", headers: ["ETag: \(stored.etag)"])
        case .create:
            serial += 1
            uploads["up/\(serial)+="] = [:]
            return .complete(
                "200 OK",
                "<InitiateMultipartUploadResult><UploadId>up/\(serial)+=</UploadId>"
                    + "</InitiateMultipartUploadResult>")
        case .part(let number):
            let name = PercentCoding.decode(target.upload) ?? ""
            guard uploads[name] != nil else { return .error("404 Not Found", "NoSuchUpload") }
            uploads[name]?[number] = request.body
            return .complete(
                "200 OK", headers: ["ETag: \"\(Digest(of: request.body).hex)&<>\""])
        case .complete:
            if isTaken { return .error("412 Precondition Failed", "PreconditionFailed") }
            return complete(PercentCoding.decode(target.upload) ?? "", request, target.key)
        case .abort:
            let name = PercentCoding.decode(target.upload) ?? ""
            guard uploads.removeValue(forKey: name) != nil else {
                return .error("404 Not Found", "NoSuchUpload")
            }
            return .complete("204 No Content")
        }
    }

    /// The parts must be listed with the ETags that they were given.
    private mutating func complete(
        _ upload: String, _ request: ScriptedServer.Request, _ key: String
    ) -> ScriptedServer.Answer {
        guard let parts = uploads[upload] else { return .error("404 Not Found", "NoSuchUpload") }
        var body: [UInt8] = []
        var named: [(path: String, text: String)] = []
        for leaf in xmlLeaves(of: request.body) ?? [] where !leaf.path.hasSuffix("SHA256") {
            named.append((leaf.path, leaf.text))
        }
        let place = "/CompleteMultipartUpload/Part/"
        guard named.count == 2 * parts.count else { return .error("400 Bad", "InvalidPart") }
        for number in 1...max(parts.count, 1) {
            guard let bytes = parts[number],
                named[2 * number - 2] == (place + "PartNumber", "\(number)"),
                named[2 * number - 1] == (place + "ETag", "\"\(Digest(of: bytes).hex)&<>\"")
            else { return .error("400 Bad Request", "InvalidPart") }
            body += bytes
        }
        uploads[upload] = nil
        objects[key] = object(body)
        return .complete(
            "200 OK",
            "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>")
    }

    private func get(
        _ request: ScriptedServer.Request, _ key: String
    ) -> ScriptedServer.Answer {
        guard let object = objects[key] else { return .error("404 Not Found", "NoSuchKey") }
        if let match = request.headers["if-match"], match != object.etag {
            return .error("412 Precondition Failed", "PreconditionFailed")
        }
        guard let range = request.headers["range"] else {
            return .bytes("200 OK", object.bytes, headers: ["ETag: \(object.etag)"])
        }
        let ends = range.dropFirst("bytes=".count).split(separator: "-").compactMap { Int($0) }
        guard ends.count == 2, ends[0] < object.bytes.count else {
            return .error("416 Range Not Satisfiable", "InvalidRange")
        }
        let last = min(ends[1], object.bytes.count - 1)
        return .bytes(
            "206 Partial Content", Array(object.bytes[ends[0]...last]),
            headers: [
                "ETag: \(object.etag)",
                "Content-Range: bytes \(ends[0])-\(last)/\(object.bytes.count)",
            ])
    }
}

extension ScriptedServer.Answer {
    static func error(_ status: String, _ code: String) -> Self {
        .complete(status, "<Error><Code>\(code)</Code></Error>")
    }

    static func bytes(_ status: String, _ body: [UInt8], headers: [String]) -> Self {
        let lines = ["HTTP/1.1 \(status)"] + headers + ["Content-Length: \(body.count)"]
        return Self(bytes: Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + body)
    }

    /// Closes the connection instead of answering, but after the first line of the answer:
    /// otherwise libcurl would send the request again automatically.
    static let none = Self(bytes: Array("HTTP/1.1 200 OK\r\n".utf8), then: .close)

    /// The answer, truncated after this many bytes of its body.
    func cut(after count: Int) -> Self {
        let text = bytes.indices.first { bytes[$0...].starts(with: "\r\n\r\n".utf8) } ?? 0
        return Self(bytes: Array(bytes[..<min(text + 4 + count, bytes.count)]), then: .close)
    }

    /// The answer with a replacement in its head.
    func replacing(_ text: String, with other: String) -> Self {
        let end = (bytes.indices.first { bytes[$0...].starts(with: "\r\n\r\n".utf8) } ?? 0) + 4
        let head = String(decoding: bytes[..<end], as: UTF8.self).replacing(text, with: other)
        return Self(bytes: Array(head.utf8) + bytes[end...], then: then)
    }
}
