import Bytes
import Glibc
import ObjectStore
import Posix
import Synchronization

/// An HTTP/1.1 proxy between an instance and an S3 server: it counts what goes through, and makes
/// go wrong what a test asks for.
///
/// The Host header stays as it is, so that signatures hold. Messages are kept in memory whole. Each
/// connection serves one request: on a used one that dies, a library may send its request again
/// behind our back, and no test could tell what it caused.
package final class FaultProxy: Sendable {
    /// A treatment of a request other than passing it on.
    package enum Action: Sendable {
        /// It is passed on; the answer is not: the connection is closed instead.
        case loseAnswer
        /// It is passed on; the connection is closed in the middle of the answer's body.
        case cutAnswer
        /// It is not passed on; the connection is closed.
        case loseRequest
        /// It is passed on twice; the second answer is given, as when a library sends again.
        case sendTwice
        /// The connection is closed at once; it is passed on when the delivery begins.
        case deliverLate(LateDelivery)
        /// It is passed on, then the late delivery made, then its answer given.
        case answerAfter(LateDelivery)
        /// It is passed on once the gate is open, which it may be when enough requests have arrived.
        case hold(Gate)
        /// It is not passed on; this status and S3 error code is the answer.
        case answer(Int, String)
        /// It is passed on; this is done to the body of a 200 or 206.
        case alter(@Sendable ([UInt8]) -> [UInt8])
        /// This is done to its body, then it is passed on.
        case alterRequest(@Sendable ([UInt8]) -> [UInt8])
        /// It is passed on; a failed condition is answered as a success. (To take the condition
        /// away would spoil the signature.)
        case hideFailedCondition
    }

    /// A request that reaches the store long after its sender gave it up.
    package final class LateDelivery: Sendable {
        fileprivate let begin = Gate()
        fileprivate let done = Gate()

        package init() {}

        /// Delivers it now, and waits until the store has answered.
        package func make() {
            begin.open()
            done.pass()
        }
    }

    /// One request that came, in the order of coming.
    package struct Entry: Sendable {
        package let kind: Kind
        package let target: String
        /// Nil: none was given yet, or ever.
        package var status: Int?
    }

    /// The subject of a request: method and kind of object.
    package struct Kind: Hashable, Sendable, CustomStringConvertible {
        package let method: String
        package let object: StoredKind

        package init(_ method: String, _ object: StoredKind) {
            self.method = method
            self.object = object
        }

        package var description: String { "\(method) \(object)" }
    }

    package enum StoredKind: String, Sendable {
        case pointer, manifest, pack, index, bitmap, graph, probe, listing, other
        /// A multipart upload is begun.
        case uploads
        /// A part of one.
        case part
        /// One is completed or aborted.
        case upload

        init(target: String) {
            let parts = target.split(separator: "?", maxSplits: 1)
            let path = parts.first ?? ""
            let directory = path.split(separator: "/").dropLast().last
            let query = parts.count > 1 ? parts[1] : ""
            self =
                if query.contains("list-type") {
                    .listing
                } else if query.contains("partNumber") {
                    .part
                } else if query.contains("uploadId") {
                    .upload
                } else if query.contains("uploads") {
                    .uploads
                } else if path.contains("/probe/") {
                    .probe
                } else if path.hasSuffix("/pointer") {
                    .pointer
                } else if directory == "manifests" {
                    .manifest
                } else if directory == "packs" {
                    switch path.split(separator: ".").last {
                    case "idx": .index
                    case "bitmap": .bitmap
                    case "graph": .graph
                    default: .pack
                    }
                } else {
                    .other
                }
        }
    }

    private struct Rule {
        let kind: Kind
        /// The rule sleeps until a request of this kind has come.
        var awaited: Kind?
        var times: Int
        let action: Action
    }

    private struct State {
        var rules: [Rule] = []
        var entries: [Entry] = []
        /// The server's own `Server` header, once it has answered.
        var software: [(name: String, value: String)] = []
    }

    package let port: UInt16
    private let upstream: UInt16
    private let listener: ListeningSocket
    private let state = Mutex(State())

    /// Starts a proxy on a free port, before the server at `upstream` of 127.0.0.1.
    package init(upstream: UInt16) throws {
        self.upstream = upstream
        let listener = try ListeningSocket()
        self.listener = listener
        port = listener.port
        startThread { [weak self] in
            while let connection = listener.accept() {
                guard let self else { return }
                let raw = connection.release()
                startThread { self.serve(OwnedDescriptor(taking: raw)) }
            }
        }
    }

    deinit {
        stop()
    }

    /// Takes no more connections: they are refused.
    package func stop() {
        listener.stop()
    }

    /// Asks for an action on the next `times` requests of a kind that no earlier rule takes.
    ///
    /// - Parameter awaited: only such as come after one of this kind.
    package func on(
        _ method: String, _ object: StoredKind, after awaited: Kind? = nil, times: Int = 1,
        _ action: Action
    ) {
        state.withLock {
            $0.rules.append(
                Rule(
                    kind: Kind(method, object), awaited: awaited, times: times, action: action))
        }
    }

    /// Forgets what was asked for and seen.
    package func reset() {
        state.withLock {
            $0.rules = []
            $0.entries = []
        }
    }

    /// All requests since the start or the last reset.
    package var entries: [Entry] { state.withLock { $0.entries } }

    /// How often each kind of request came.
    package var counts: [String: Int] {
        Dictionary(entries.map { ("\($0.kind)", 1) }, uniquingKeysWith: +)
    }

    /// How many rules have not been used up.
    package var pending: Int { state.withLock { $0.rules.count } }

    private func serve(_ client: consuming OwnedDescriptor) {
        var reader = HTTPReader(client.raw)
        do {
            guard var request = try reader.head() else { return }
            if request.header("Expect") != nil {
                try Sockets.send(client.raw, Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
            }
            request.body = try reader.body(of: request, untilEnd: false)
            guard let answer = try handle(request) else { return }
            try Sockets.send(client.raw, answer)
        } catch {
            // The client went away, or the server did: either way the connection ends here.
        }
    }

    /// Handles a request; nil if the connection must be closed without an answer.
    private func handle(_ request: HTTPMessage) throws -> [UInt8]? {
        let words = request.start.split(separator: " ").map(String.init)
        guard words.count == 3 else { throw TestFailure("not a request: \(request.start)") }
        let kind = Kind(words[0], StoredKind(target: words[1]))
        let (number, action) = note(Entry(kind: kind, target: words[1]))

        var answer: HTTPMessage
        switch action {
        case .loseAnswer:
            _ = try forward(request)
            return nil
        case .cutAnswer:
            answer = try forward(request)
            let whole = Self.framed(answer, method: kind.method)
            return Array(whole.dropLast((answer.body.count + 1) / 2))
        case .loseRequest:
            return nil
        case .deliverLate(let delivery):
            startThread {
                delivery.begin.pass()
                _ = try? self.forward(request)
                delivery.done.open()
            }
            return nil
        case .answer(let status, let code):
            let body = "<?xml version=\"1.0\"?><Error><Code>\(code)</Code></Error>"
            answer = HTTPMessage(
                start: "HTTP/1.1 \(status) \(code)",
                headers: [("Content-Type", "application/xml")] + software,
                body: Array(body.utf8))
        case .sendTwice:
            _ = try forward(request)
            answer = try forward(request)
        case .answerAfter(let delivery):
            answer = try forward(request)
            delivery.make()
        case .hold(let gate):
            gate.pass()
            answer = try forward(request)
        case .alter(let change):
            answer = try forward(request)
            if [200, 206].contains(answer.status) { answer.body = change(answer.body) }
        case .alterRequest(let change):
            var altered = request
            altered.body = change(request.body)
            answer = try forward(altered)
        case .hideFailedCondition:
            answer = try forward(request)
            if answer.status == 412 {
                let etag = ("ETag", "\"\(Hex.random())\"")
                answer = HTTPMessage(start: "HTTP/1.1 200 OK", headers: [etag] + software)
            }
        case nil:
            answer = try forward(request)
        }
        state.withLock {
            if number < $0.entries.count { $0.entries[number].status = answer.status }
        }
        return Self.framed(answer, method: kind.method)
    }

    /// Enters a request, and finds what is asked for it.
    private func note(_ entry: Entry) -> (number: Int, action: Action?) {
        state.withLock { state in
            state.entries.append(entry)
            let number = state.entries.count - 1
            let found = state.rules.firstIndex { $0.awaited == nil && $0.kind == entry.kind }
            let action = found.map { state.rules[$0].action }
            if let found {
                state.rules[found].times -= 1
                if state.rules[found].times == 0 { state.rules.remove(at: found) }
            }
            for index in state.rules.indices where state.rules[index].awaited == entry.kind {
                state.rules[index].awaited = nil
            }
            return (number, action)
        }
    }

    /// Sends a request on a connection of its own, and reads the answer.
    private func forward(_ request: HTTPMessage) throws -> HTTPMessage {
        let server = try Sockets.connect(port: upstream)
        var message = request
        let dropped: Set = ["expect", "connection", "transfer-encoding"]
        message.headers.removeAll { dropped.contains($0.name.lowercased()) }
        message.headers.append(("Connection", "close"))
        if !message.body.isEmpty, message.header("Content-Length") == nil {
            message.headers.append(("Content-Length", "\(message.body.count)"))
        }
        try Sockets.send(server.raw, message.head + message.body)
        let method = request.start.prefix { $0 != " " }
        let answer = try HTTPClient.response(to: String(method), from: server.raw)
        if let value = answer.header("Server") {
            state.withLock { $0.software = [("Server", value)] }
        }
        return answer
    }

    /// What an answer of the proxy's own has in common with the server's, so that it does not pass
    /// for another server's.
    private var software: [(name: String, value: String)] { state.withLock { $0.software } }

    private static func framed(_ answer: HTTPMessage, method: String) -> [UInt8] {
        var answer = answer
        let isHead = method == "HEAD"
        let dropped: Set = ["connection", "transfer-encoding", isHead ? "" : "content-length"]
        answer.headers.removeAll { dropped.contains($0.name.lowercased()) }
        answer.headers.append(("Connection", "close"))
        if !isHead { answer.headers.append(("Content-Length", "\(answer.body.count)")) }
        return answer.head + (isHead ? [] : answer.body)
    }
}
