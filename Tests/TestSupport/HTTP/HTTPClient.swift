import Glibc
import Posix

/// An HTTP client that sends exactly the given bytes, well-formed or not.
package struct HTTPClient: Sendable {
    package enum Body: Sendable {
        case none
        /// With a Content-Length.
        case bytes([UInt8])
        /// With `Transfer-Encoding: chunked`.
        case chunks([[UInt8]])
        /// A Content-Length that promises more than is sent before the connection is closed.
        case cut([UInt8], promised: Int)
    }

    package let port: UInt16

    package init(port: UInt16) { self.port = port }

    /// Sends one request on a connection of its own, and reads the whole answer.
    ///
    /// - Parameter target: as it stands in the request line; nothing is escaped or tidied.
    package func send(
        _ method: String, _ target: String, headers: [(name: String, value: String)] = [],
        body: Body = .none
    ) throws -> HTTPMessage {
        let socket = try Sockets.connect(port: port)
        var request = HTTPMessage(start: "\(method) \(target) HTTP/1.1")
        request.headers =
            [("Host", "127.0.0.1:\(port)"), ("Connection", "close")] + headers
        switch body {
        case .none: break
        case .bytes(let bytes): request.headers.append(("Content-Length", "\(bytes.count)"))
        case .chunks: request.headers.append(("Transfer-Encoding", "chunked"))
        case .cut(_, let promised): request.headers.append(("Content-Length", "\(promised)"))
        }
        try Sockets.send(socket.raw, request.head)
        // A server that refuses may close before it has read all: its answer is still there.
        try? Self.send(body, socket.raw)
        if case .cut = body { shutdown(socket.raw, Int32(SHUT_WR)) }
        return try Self.response(to: method, from: socket.raw)
    }

    private static func send(_ body: Body, _ socket: Int32) throws {
        switch body {
        case .none: break
        case .bytes(let bytes), .cut(let bytes, _): try Sockets.send(socket, bytes)
        case .chunks(let chunks):
            for chunk in chunks where !chunk.isEmpty {
                let size = String(chunk.count, radix: 16)
                try Sockets.send(socket, Array("\(size)\r\n".utf8) + chunk + Array("\r\n".utf8))
            }
            try Sockets.send(socket, Array("0\r\n\r\n".utf8))
        }
    }

    /// Reads the answer to a request of that method.
    package static func response(to method: String, from socket: Int32) throws -> HTTPMessage {
        var reader = HTTPReader(socket)
        while let head = try reader.head() {
            if head.status == 100 { continue }
            var message = head
            let bodiless = method == "HEAD" || head.status == 204 || head.status == 304
            if !bodiless { message.body = try reader.body(of: head, untilEnd: true) }
            return message
        }
        throw TestFailure("The server closed the connection without an answer.")
    }
}
