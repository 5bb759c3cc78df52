import Posix

/// One request to the program as a plain CGI.
package struct CGIRun: Sendable {
    private let setup: ServerProcess.Setup
    private let state: TemporaryDirectory

    /// - Parameter setup: its options become variables' business: a CGI has none.
    package init(_ setup: ServerProcess.Setup) throws {
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
        let result = try run(
            method, path, query: query, variables: variables, input: .bytes(body),
            length: body.isEmpty ? nil : body.count)
        return try Self.parse(result.checked().output)
    }

    /// Runs the program once, however it ends.
    ///
    /// - Parameter length: the announced length of the body; nil if none is announced.
    package func run(
        _ method: String, _ path: String, query: String = "", variables: [String: String] = [:],
        input: Command.Input = .nothing, length: Int? = nil
    ) throws -> CommandResult {
        try Command(
            try setup.program ?? Programs.server(), [],
            environment: environment(method, path, query: query, length: length)
                .merging(variables) { $1 },
            input: input
        ).run()
    }

    /// The variables of a request.
    package func environment(
        _ method: String, _ path: String, query: String = "", length: Int? = nil
    ) -> [String: String] {
        let meta = [
            "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": "test", "REQUEST_METHOD": method, "SCRIPT_NAME": "/git",
            "PATH_INFO": path, "QUERY_STRING": query, "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_LENGTH": length.map { "\($0)" } ?? "",
            "GIT_S3_BACKEND_STORE": setup.storeURL, "GIT_S3_BACKEND_STATE_DIR": state.path,
        ]
        return ServerProcess.environment(setup).merging(meta) { $1 }
    }

    /// Takes a CGI's output apart. RFC 3875 §6.
    package static func parse(_ output: [UInt8]) throws -> HTTPMessage {
        guard let end = output.firstRange(of: Array("\r\n\r\n".utf8)) else {
            throw TestFailure("not a CGI answer: \(String(decoding: output, as: UTF8.self))")
        }
        var message = HTTPMessage(start: "HTTP/1.1 200 OK")
        let head = String(decoding: output[..<end.lowerBound], as: UTF8.self)
        for line in head.split(separator: "\r\n") {
            let parts = line.split(separator: ":", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { throw TestFailure("not a header: '\(line)'") }
            message.headers.append((parts[0], String(parts[1].drop { $0 == " " })))
        }
        if let status = message.header("Status") { message.start = "HTTP/1.1 \(status)" }
        message.body = Array(output[end.upperBound...])
        return message
    }
}
