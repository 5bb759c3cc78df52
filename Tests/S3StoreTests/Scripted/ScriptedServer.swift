import Glibc
import Posix
import Synchronization
import TestSupport

/// An HTTP server on 127.0.0.1 with answers and faults that a test chooses. It uses blocking
/// sockets, and a thread for each connection.
final class ScriptedServer: Sendable {
    let port: UInt16
    private let listener: ListeningSocket
    private let state = Mutex(State())
    private let answer: @Sendable (Request, Int) -> Answer

    private struct State {
        var connections = 0
        var requests: [Request] = []
    }

    /// A request that arrived.
    struct Request: Sendable {
        let method: String
        let target: String
        /// Names in lower case.
        let headers: [String: String]
        let body: [UInt8]
    }

    /// An answer, and what happens after it.
    struct Answer: Sendable {
        var bytes: [UInt8]
        var then = Then.goOn

        enum Then: Sendable { case goOn, close, stall }

        /// A complete answer with a body.
        static func complete(
            _ status: String, _ body: String = "", headers: [String] = []
        ) -> Answer {
            let lines = ["HTTP/1.1 \(status)"] + headers + ["Content-Length: \(body.utf8.count)"]
            return Answer(bytes: Array((lines.joined(separator: "\r\n") + "\r\n\r\n" + body).utf8))
        }

        /// Exactly these bytes.
        static func raw(_ text: String, then: Then) -> Answer {
            Answer(bytes: Array(text.utf8), then: then)
        }
    }

    /// - Parameter answer: receives a request and its number, counted from 1.
    init(_ answer: @escaping @Sendable (Request, Int) -> Answer) throws {
        self.answer = answer
        let listener = try ListeningSocket()
        self.listener = listener
        port = listener.port
        _ = try Thread { [weak self] in
            while let connection = listener.accept() {
                guard let server = self else { return }
                server.serve(connection)
            }
        }
    }

    deinit {
        // Wakes the accepting thread.
        listener.stop()
    }

    /// Connections accepted so far.
    var connections: Int { state.withLock { $0.connections } }

    var requests: [Request] { state.withLock { $0.requests } }

    private func serve(_ connection: consuming OwnedDescriptor) {
        state.withLock { $0.connections += 1 }
        let raw = connection.release()
        do {
            _ = try Thread { [weak self] in
                var reader = RequestReader(OwnedDescriptor(taking: raw))
                while let request = reader.next() {
                    guard let server = self else { return }
                    let number = server.state.withLock { state in
                        state.requests.append(request)
                        return state.requests.count
                    }
                    let answer = server.answer(request, number)
                    reader.send(answer.bytes)
                    switch answer.then {
                    case .goOn: continue
                    case .close: return
                    case .stall: reader.waitForHangUp()
                    }
                }
            }
        } catch {
            close(raw)
        }
    }
}

/// Reads requests from one connection.
private struct RequestReader: ~Copyable {
    private let socket: OwnedDescriptor
    private var buffer: [UInt8] = []

    init(_ socket: consuming OwnedDescriptor) { self.socket = socket }

    /// The next request; nil at the end.
    mutating func next() -> ScriptedServer.Request? {
        let end = Array("\r\n\r\n".utf8)
        var head: [UInt8] = []
        while true {
            if let start = buffer.indices.first(where: { buffer[$0...].starts(with: end) }) {
                head = Array(buffer[..<start])
                buffer.removeFirst(start + end.count)
                break
            }
            guard fill() else { return nil }
        }
        let lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n")
        let words = lines[0].split(separator: " ")
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 {
                headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
            }
        }
        let length = headers["content-length"].flatMap { Int($0) } ?? 0
        while buffer.count < length { guard fill() else { return nil } }
        let body = Array(buffer.prefix(length))
        buffer.removeFirst(length)
        return ScriptedServer.Request(
            method: String(words[0]), target: String(words[1]), headers: headers, body: body)
    }

    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes {
                Glibc.send(socket.raw, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if sent <= 0 { return }
            rest = rest.dropFirst(sent)
        }
    }

    mutating func waitForHangUp() {
        while fill() {}
    }

    private mutating func fill() -> Bool {
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let count = recv(socket.raw, &chunk, chunk.count, 0)
        if count > 0 { buffer += chunk[..<count] }
        return count > 0
    }
}
