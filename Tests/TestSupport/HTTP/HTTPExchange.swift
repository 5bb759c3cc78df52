import Glibc
import Posix

/// One HTTP exchange in a test's hands: it says what is sent when, looks at what has come by then,
/// and may go away in the middle.
package final class HTTPExchange: Sendable {
    private let socket: OwnedDescriptor
    private let method: String

    /// Connects and sends a request's head.
    package init(
        port: UInt16, _ method: String, _ target: String,
        headers: [(name: String, value: String)] = []
    ) throws {
        self.method = method
        socket = try Sockets.connect(port: port)
        var request = HTTPMessage(start: "\(method) \(target) HTTP/1.1")
        request.headers = [("Host", "127.0.0.1:\(port)"), ("Connection", "close")] + headers
        try Sockets.send(socket.raw, request.head)
    }

    /// Sends bytes as they are.
    package func send(_ bytes: [UInt8]) throws { try Sockets.send(socket.raw, bytes) }

    /// Sends one chunk of a chunked body.
    package func sendChunk(_ bytes: [UInt8]) throws {
        let size = String(bytes.count, radix: 16)
        try send(Array("\(size)\r\n".utf8) + bytes + Array("\r\n".utf8))
    }

    /// Ends a chunked body.
    package func endChunks() throws { try send(Array("0\r\n\r\n".utf8)) }

    /// The bytes that have arrived, at least one; none if the server has closed.
    package func receive() throws -> [UInt8] {
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let count = try check("recv") { recv(socket.raw, &chunk, chunk.count, 0) }
        return Array(chunk[..<count])
    }

    /// Receives until what has come ends with `text`; it fails if the server closes before.
    package func receive(until text: String) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while !bytes.ends(with: text) {
            let more = try receive()
            if more.isEmpty {
                throw TestFailure("closed after '\(String(decoding: bytes, as: UTF8.self))'")
            }
            bytes += more
        }
        return bytes
    }

    /// Whether something can be read at once.
    package func hasReceived() throws -> Bool {
        var entry = pollfd(fd: socket.raw, events: Int16(POLLIN), revents: 0)
        return try check("poll") { poll(&entry, 1, 0) } > 0
    }

    /// The whole answer.
    package func response() throws -> HTTPMessage {
        try HTTPClient.response(to: method, from: socket.raw)
    }

    /// Goes away.
    package func hangUp() { shutdown(socket.raw, Int32(SHUT_RDWR)) }
}

extension [UInt8] {
    fileprivate func ends(with text: String) -> Bool {
        suffix(text.utf8.count).elementsEqual(text.utf8)
    }
}
