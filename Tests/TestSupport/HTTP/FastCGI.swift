package import Posix

/// A web server's side of FastCGI, for one request that no web server would pass on. The FastCGI
/// specification 1.0, §3.
package enum FastCGI {
    /// Sends a request on a connection, and reads the answer to its end.
    ///
    /// - Parameters:
    ///   - variables: nothing is added to them.
    ///   - ending: whether the body ends, or more of it is promised that never comes.
    package static func request(
        on socket: consuming OwnedDescriptor, _ variables: [String: String], body: [UInt8] = [],
        ending: Ending = .proper
    ) throws -> HTTPMessage {
        var parameters: [UInt8] = []
        for (name, value) in variables {
            parameters += length(name.utf8.count) + length(value.utf8.count)
            parameters += Array(name.utf8) + Array(value.utf8)
        }
        // An instance, and the connection closes after the request.
        var bytes = record(1, [0, 1, 0, 0, 0, 0, 0, 0])
        bytes += record(4, parameters) + record(4, [])
        for start in stride(from: 0, to: body.count, by: 60_000) {
            bytes += record(5, Array(body[start..<min(start + 60_000, body.count)]))
        }
        try Sockets.send(socket.raw, bytes + (ending == .proper ? record(5, []) : []))
        return try CGIRun.parse(
            try standardOutput(try Files.readToEnd(socket.raw, limit: 1 << 28, subject: "FastCGI")))
    }

    /// How a body ends.
    package enum Ending: Sendable { case proper, missing }

    private static func length(_ count: Int) -> [UInt8] {
        if count < 128 { return [UInt8(count)] }
        return [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) | ($0 == 24 ? 128 : 0) }
    }

    private static func record(_ type: UInt8, _ content: [UInt8]) -> [UInt8] {
        [1, type, 0, 1, UInt8(content.count >> 8), UInt8(content.count & 255), 0, 0] + content
    }

    private static func standardOutput(_ bytes: [UInt8]) throws -> [UInt8] {
        var rest = bytes[...]
        var output: [UInt8] = []
        while rest.count >= 8 {
            let head = Array(rest.prefix(8))
            let count = Int(head[4]) << 8 | Int(head[5])
            if head[1] == 6 { output += rest.dropFirst(8).prefix(count) }
            rest = rest.dropFirst(8 + count + Int(head[6]))
        }
        return output
    }
}
