import Glibc
import Posix

/// An HTTP/1.1 message's lines, and its body as it stands after its framing is taken away.
package struct HTTPMessage: Sendable {
    /// The request's or status line, without its end.
    package var start: String
    package var headers: [(name: String, value: String)]
    package var body: [UInt8]

    package init(
        start: String, headers: [(name: String, value: String)] = [], body: [UInt8] = []
    ) {
        self.start = start
        self.headers = headers
        self.body = body
    }

    /// The value of the first header of that name, in whatever case.
    package func header(_ name: String) -> String? {
        headers.first { $0.name.lowercased() == name.lowercased() }?.value
    }

    /// The status of a response; 0 for a request.
    package var status: Int {
        start.hasPrefix("HTTP/") ? Int(start.split(separator: " ").dropFirst().first ?? "") ?? 0 : 0
    }

    /// The body as text.
    package var text: String { String(decoding: body, as: UTF8.self) }

    /// The bytes before the body.
    var head: [UInt8] {
        let lines = [start] + headers.map { "\($0.name): \($0.value)" }
        return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
    }
}

/// Reads HTTP/1.1 messages from a socket.
struct HTTPReader {
    private let socket: Int32
    private var buffer: [UInt8] = []

    init(_ socket: Int32) { self.socket = socket }

    /// Reads start line and headers; nil if the other side closed before the first byte.
    mutating func head() throws -> HTTPMessage? {
        guard let start = try line() else { return nil }
        var message = HTTPMessage(start: start)
        while let line = try line(), !line.isEmpty {
            let parts = line.split(separator: ":", maxSplits: 1)
            let value = parts.count > 1 ? parts[1] : ""
            message.headers.append(
                (String(parts[0]), String(value.drop { $0 == " " })))
        }
        return message
    }

    /// Reads the body that a message's headers announce.
    ///
    /// - Parameter untilEnd: whether one without a length ends with the connection, as that of a
    ///   response does.
    mutating func body(of message: HTTPMessage, untilEnd: Bool) throws -> [UInt8] {
        if message.header("Transfer-Encoding")?.lowercased() == "chunked" { return try chunks() }
        if let length = message.header("Content-Length").flatMap({ Int($0) }) {
            return try exactly(length)
        }
        if !untilEnd { return [] }
        while try fill() {}
        defer { buffer = [] }
        return buffer
    }

    private mutating func chunks() throws -> [UInt8] {
        var body: [UInt8] = []
        while true {
            let digits = try line() ?? ""
            guard let size = Int(digits.prefix { $0 != ";" }, radix: 16) else {
                throw TestFailure("cut off or malformed in a chunked body: '\(digits)'")
            }
            if size == 0 {
                while let line = try line(), !line.isEmpty {}
                return body
            }
            body += try exactly(size)
            _ = try line()
        }
    }

    private mutating func exactly(_ count: Int) throws -> [UInt8] {
        while buffer.count < count {
            if try !fill() { throw TestFailure("cut off after \(buffer.count) of \(count) bytes") }
        }
        let bytes = Array(buffer[..<count])
        buffer.removeFirst(count)
        return bytes
    }

    private mutating func line() throws -> String? {
        while true {
            if let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
                let line = buffer[..<end]
                let text = String(decoding: line.last == 13 ? line.dropLast() : line, as: UTF8.self)
                buffer.removeFirst(end + 1)
                return text
            }
            if try !fill() { return buffer.isEmpty ? nil : String(decoding: buffer, as: UTF8.self) }
        }
    }

    private mutating func fill() throws -> Bool {
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let count = try check("recv") { recv(socket, &chunk, chunk.count, 0) }
        buffer += chunk[..<count]
        return count > 0
    }
}
