/// One request with the variables that the web server passes: those of RFC 3875 (CGI) and of
/// git-http-backend(1).
package struct Request: Sendable {
    package let method: String
    /// `PATH_INFO`, percent-decoded by the web server.
    package let path: String
    /// `QUERY_STRING`, unchanged.
    package let query: String
    package let contentType: String
    package let contentLength: ContentLength
    package let contentEncoding: String
    /// The Git-Protocol header.
    package let gitProtocol: String
    /// `REMOTE_USER`, which the web server vouches for; nil if it is empty or absent.
    package let user: String?
    package let address: String
    /// Identifies the request in its answer and in the log.
    package let identifier: String

    /// The length of the body.
    package enum ContentLength: Equatable, Sendable {
        /// Bytes.
        case known(Int64)
        /// Absent or empty: the body is chunked, or there is none.
        case unknown
        case invalid(String)
    }

    /// Whether the request may have a body: a GET has none unless it declares one.
    var mayHaveBody: Bool {
        switch contentLength {
        case .known(let length): length > 0
        case .unknown, .invalid: method != "GET" && method != "HEAD"
        }
    }

    /// Reads the request's variables.
    package init(variables: [String: String], identifier: String) {
        func variable(_ name: String) -> String { variables[name] ?? "" }
        method = variable("REQUEST_METHOD")
        path = variable("PATH_INFO")
        query = variable("QUERY_STRING")
        contentType = variable("CONTENT_TYPE")
        contentEncoding = variable("HTTP_CONTENT_ENCODING").lowercased()
        gitProtocol = Self.safeProtocol(variable("HTTP_GIT_PROTOCOL"))
        user = variables["REMOTE_USER"].flatMap { $0.isEmpty ? nil : $0 }
        address = variable("REMOTE_ADDR")
        self.identifier = identifier

        let length = variable("CONTENT_LENGTH")
        if length.isEmpty {
            contentLength = .unknown
        } else if length.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let bytes = Int64(length)
        {
            contentLength = .known(bytes)
        } else {
            contentLength = .invalid(length)
        }
    }

    /// Keys and values as in protocol(5), such as `version=2`; anything else is ignored.
    private static func safeProtocol(_ value: String) -> String {
        let isSafe =
            value.utf8.count <= 256
            && value.utf8.allSatisfy { byte in
                (0x21...0x7e).contains(byte) && byte != UInt8(ascii: "\"")
            }
        return isSafe ? value : ""
    }
}
