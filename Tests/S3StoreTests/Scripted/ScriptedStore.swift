import Bytes
import ObjectStore
import Posix
import Synchronization

@testable import S3Store

/// A small conforming S3 backend behind a ``ScriptedServer``. A test chooses how it checks bodies,
/// its ETags and its name.
final class ScriptedStore: Sendable {
    /// The backend's behavior; may change while it runs.
    struct Conduct: Sendable {
        /// The `Server` header; nil for none.
        var name: String? = "scripted/1"
        var onSHA256 = Header.ignored
        var onMD5 = Header.ignored
        /// A HEAD returns the checksum that the PUT carried.
        var returnsSHA256 = false
        var etagIsMD5 = false
        /// A PUT without a checksum is refused, as in a bucket with Object Lock.
        var demandsChecksum = false
        /// If-Match and If-None-Match are ignored.
        var ignoresConditions = false
        /// The bytes that arrive of the bodies that ``alters`` chooses.
        var alter: @Sendable ([UInt8]) -> [UInt8] = { $0 }
        var alters: @Sendable (String) -> Bool = { $0.hasPrefix("packs/") }
        /// The bytes from which the ETag is computed; for a store whose disk damages what it
        /// hashed.
        var keep: @Sendable ([UInt8]) -> [UInt8] = { $0 }
    }

    /// How the backend treats the checksum header of a PUT.
    enum Header: Sendable, CaseIterable {
        case ignored, checked
        /// 400 or 501, whether the checksum is right or wrong.
        case rejected, notImplemented
        /// Refused if it is wrong, but stored nevertheless.
        case checkedAfterStoring
    }

    fileprivate struct Object: Sendable {
        var bytes: [UInt8]
        var etag: String
        var checksum: String?
    }

    fileprivate struct State {
        var conduct: Conduct
        var objects: [String: Object] = [:]
        var serial = 0
        var counts: [String: Int] = [:]
        var puts: [[String: String]] = []
    }

    private final class Shared: Sendable {
        let state: Mutex<State>
        init(_ conduct: Conduct) { state = Mutex(State(conduct: conduct)) }
    }

    private let shared: Shared
    private let server: ScriptedServer

    init(_ conduct: Conduct = Conduct()) throws {
        shared = Shared(conduct)
        server = try ScriptedServer { [shared] request, _ in
            shared.state.withLock { $0.answer(request) }
        }
    }

    func store(attempts: Int = 2, items: String = "") throws -> S3Store {
        try S3Store(
            location: "s3://bucket?endpoint=http://127.0.0.1:\(server.port)" + items,
            environment: ["AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"],
            retryPolicy: RetryPolicy(attempts: attempts, base: .milliseconds(1)))
    }

    /// Changes the behavior from now on.
    func change(_ body: (inout Conduct) -> Void) {
        shared.state.withLock { body(&$0.conduct) }
    }

    subscript(_ key: ObjectKey) -> [UInt8]? {
        get { shared.state.withLock { $0.objects[key.path]?.bytes } }
        set {
            shared.state.withLock { state in
                state.objects[key.path] = newValue.map {
                    Object(bytes: $0, etag: state.tag(for: $0), checksum: nil)
                }
            }
        }
    }

    /// Stores an object with a checksum, which need not be its own.
    func plant(_ bytes: [UInt8], at key: ObjectKey, checksum: String) {
        shared.state.withLock { state in
            state.objects[key.path] = Object(
                bytes: bytes, etag: state.tag(for: bytes), checksum: checksum)
        }
    }

    var keys: [String] { shared.state.withLock { $0.objects.keys.sorted() } }

    /// The number of requests of each method since the last call.
    func counted() -> [String: Int] {
        shared.state.withLock { state in
            defer { state.counts = [:] }
            return state.counts
        }
    }

    /// The headers of all PUTs.
    var puts: [[String: String]] { shared.state.withLock { $0.puts } }
}

extension ScriptedStore.State {
    fileprivate mutating func tag(for bytes: [UInt8]) -> String {
        serial += 1
        if conduct.etagIsMD5, let md5 = MD5.hash(of: conduct.keep(bytes)) {
            return "\"" + md5.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "\""
        }
        return "\"tag-\(serial)\""
    }

    fileprivate mutating func answer(_ request: ScriptedServer.Request) -> ScriptedServer.Answer {
        counts[request.method, default: 0] += 1
        let key = String(request.target.dropFirst("/bucket/".count))
        let answer =
            switch request.method {
            case "HEAD", "GET": read(request, key)
            case "DELETE":
                objects.removeValue(forKey: key) == nil
                    ? ScriptedServer.Answer.error("404 Not Found", "NoSuchKey")
                    : .complete("204 No Content")
            default: put(request, key)
            }
        guard let name = conduct.name else { return answer }
        return answer.replacing("\r\n\r\n", with: "\r\nServer: \(name)\r\n\r\n")
    }

    private func read(_ request: ScriptedServer.Request, _ key: String) -> ScriptedServer.Answer {
        guard let object = objects[key] else {
            return request.method == "HEAD"
                ? .raw("HTTP/1.1 404 Not Found\r\n\r\n", then: .goOn)
                : .error("404 Not Found", "NoSuchKey")
        }
        var headers = ["ETag: \(object.etag)"]
        if conduct.returnsSHA256, request.headers["x-amz-checksum-mode"] == "ENABLED",
            let checksum = object.checksum
        {
            headers.append("x-amz-checksum-sha256: \(checksum)")
        }
        if request.method == "GET" { return .bytes("200 OK", object.bytes, headers: headers) }
        headers.append("Content-Length: \(object.bytes.count)")
        let head = (["HTTP/1.1 200 OK"] + headers).joined(separator: "\r\n")
        return .raw(head + "\r\n\r\n", then: .goOn)
    }

    private mutating func put(
        _ request: ScriptedServer.Request, _ key: String
    ) -> ScriptedServer.Answer {
        puts.append(request.headers)
        let body = conduct.alters(key) ? conduct.alter(request.body) : request.body
        let sha256 = request.headers["x-amz-checksum-sha256"]
        let md5 = request.headers["content-md5"]
        if conduct.demandsChecksum, sha256 == nil, md5 == nil {
            return .error("400 Bad Request", "InvalidRequest")
        }
        let isSHA256Right = sha256 == Base64.encode(Digest(of: body).raw)
        let isMD5Right = md5 == MD5.hash(of: body).map { Base64.encode($0) }
        let refusals = [
            refusal(sha256, conduct.onSHA256, isSHA256Right),
            refusal(md5, conduct.onMD5, isMD5Right),
        ]
        for case (let refusal, let isStored)? in refusals {
            if isStored { objects[key] = .init(bytes: body, etag: tag(for: body)) }
            return refusal
        }
        if !conduct.ignoresConditions {
            if request.headers["if-none-match"] != nil, objects[key] != nil {
                return .error("412 Precondition Failed", "PreconditionFailed")
            }
            if let match = request.headers["if-match"], objects[key]?.etag != match {
                return .error("412 Precondition Failed", "PreconditionFailed")
            }
        }
        let etag = tag(for: body)
        objects[key] = .init(bytes: body, etag: etag, checksum: sha256)
        return .complete("200 OK", headers: ["ETag: \(etag)"])
    }

    private func refusal(
        _ value: String?, _ conduct: ScriptedStore.Header, _ isRight: Bool
    ) -> (ScriptedServer.Answer, isStored: Bool)? {
        guard value != nil else { return nil }
        let badDigest = ScriptedServer.Answer.error("400 Bad Request", "BadDigest")
        return switch conduct {
        case .ignored: nil
        case .checked: isRight ? nil : (badDigest, false)
        case .checkedAfterStoring: isRight ? nil : (badDigest, true)
        case .rejected: (.error("400 Bad Request", "InvalidArgument"), false)
        case .notImplemented: (.error("501 Not Implemented", "NotImplemented"), false)
        }
    }
}
