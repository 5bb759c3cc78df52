/// One answer: a head once, then bytes. RFC 3875 §6; the headers are those of `git http-backend`.
///
/// Used by one thread at a time.
final class Response {
    private let connection: any Connection
    private let request: Request
    /// The status in the head; nil if the head was not sent yet.
    private(set) var status: Int?
    /// The number of bytes of the body that were sent.
    private(set) var bytes: Int64 = 0
    /// Whether the head was sent, so that the status can no longer change.
    var hasBegun: Bool { status != nil }

    init(to request: Request, on connection: any Connection) {
        self.request = request
        self.connection = connection
    }

    /// Sends the head. Nothing may be cached: git-http-backend's `hdr_nocache`. A status of 200 is
    /// omitted, as it is a web server's default. RFC 3875 §6.3.3.
    func begin(
        status: Int = 200, type: String, headers: [String] = []
    ) throws(RequestError) {
        let lines =
            (status == 200 ? [] : ["Status: \(status) \(Self.reason(status))"]) + [
                "Expires: Fri, 01 Jan 1980 00:00:00 GMT",
                "Pragma: no-cache",
                "Cache-Control: no-cache, max-age=0, must-revalidate",
                "X-Request-Id: \(request.identifier)",
                "Content-Type: \(type)",
            ] + headers
        self.status = status
        try send(Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8))
    }

    /// Sends bytes of the body; the answer to a HEAD request has none.
    func write(_ bytes: UnsafeRawBufferPointer) throws(RequestError) {
        if request.method == "HEAD" { return }
        try connection.write(bytes)
        self.bytes += Int64(bytes.count)
    }

    /// Sends bytes of the body.
    func write(_ bytes: [UInt8]) throws(RequestError) {
        if request.method == "HEAD" { return }
        try send(bytes)
        self.bytes += Int64(bytes.count)
    }

    private func send(_ bytes: [UInt8]) throws(RequestError) {
        let result: Result<Void, RequestError> = bytes.withUnsafeBytes { buffer in
            Result { () throws(RequestError) in try connection.write(buffer) }
        }
        try result.get()
    }

    /// RFC 9110 §15.
    private static func reason(_ status: Int) -> String {
        switch status {
        case 400: "Bad Request"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 413: "Content Too Large"
        case 415: "Unsupported Media Type"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        default: "Internal Server Error"
        }
    }
}
