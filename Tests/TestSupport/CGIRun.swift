import Posix

/// One request to the program as a plain CGI.
package struct CGIRun: Sendable {
    private let setup: Responder.Setup
    private let state: TemporaryDirectory

    /// - Parameter setup: its options become variables' business: a CGI has none.
    package init(_ setup: Responder.Setup) throws {
        self.setup = setup
        state = try setup.state ?? TemporaryDirectory()
    }

    /// Runs the program once.
    ///
    /// - Parameter variables: over those of a GET without a query.
    /// - Returns: the answer, with the status of its `Status` header, 200 without one.
    package func request(
        _ method: String, _ path: String, query: String = "", variables: [String: String] = [:],
        body: [UInt8] = []
    ) throws -> HTTPMessage {
        let meta = [
            "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": "test", "REQUEST_METHOD": method, "SCRIPT_NAME": "/git",
            "PATH_INFO": path, "QUERY_STRING": query, "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_LENGTH": body.isEmpty ? "" : "\(body.count)",
            "GIT_S3_BACKEND_STORE": setup.storeURL, "GIT_S3_BACKEND_STATE_DIR": state.path,
        ]
        let result = try Command(
            try setup.program ?? Programs.responder(), [],
            environment: Responder.environment(setup).merging(meta) { $1 }
                .merging(variables) { $1 },
            input: .bytes(body)
        ).run().checked()
        return try Self.parse(result)
    }

    private static func parse(_ result: CommandResult) throws -> HTTPMessage {
        guard let end = result.output.firstRange(of: Array("\r\n\r\n".utf8)) else {
            throw TestFailure("not a CGI answer: \(result)")
        }
        var message = HTTPMessage(start: "HTTP/1.1 200 OK")
        let head = String(decoding: result.output[..<end.lowerBound], as: UTF8.self)
        for line in head.split(separator: "\r\n") {
            let parts = line.split(separator: ":", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { throw TestFailure("not a header: '\(line)'") }
            message.headers.append((parts[0], String(parts[1].drop { $0 == " " })))
        }
        if let status = message.header("Status") { message.start = "HTTP/1.1 \(status)" }
        message.body = Array(result.output[end.upperBound...])
        return message
    }
}
