import Bytes
import ObjectStore

/// A request before it is signed.
struct HTTPRequest: Sendable {
    /// The attempt that an error describes.
    let attempt: StoreError.Attempt
    /// The object that the request concerns; nil for the bucket itself.
    var object: ObjectKey?
    let method: Method
    /// The key in the bucket, not encoded; empty for the bucket itself.
    var key: String
    var query: [(name: String, value: String)] = []
    /// Headers in addition to those of every request.
    var headers: [(name: String, value: String)] = []
    var body: HTTPBody?
    /// The use of the body's MD5.
    var md5 = BodyChecks.MD5Use.none
    /// Bytes of a 2xx's body that are read into memory; nil if no body is expected, or if the
    /// exchange has a place of its own for it.
    var memoryLimit: Int?

    enum Method: String, Sendable {
        case get = "GET"
        case head = "HEAD"
        case put = "PUT"
        case post = "POST"
        case delete = "DELETE"
    }
}

/// The body of a request: an object, or a part of one.
struct HTTPBody: Sendable {
    let whole: ObjectBody
    /// The range of bytes to send.
    let range: Range<Int64>
    /// The SHA-256 of those bytes.
    let digest: Digest
    /// The MD5 of those bytes, if it was computed together with the digest.
    var md5: [UInt8]?

    init(_ body: ObjectBody) {
        whole = body
        range = 0..<body.size
        digest = body.digest
    }

    init(_ range: Range<Int64>, of body: ObjectBody, _ hashes: PartDigests.Part) {
        whole = body
        self.range = range
        digest = hashes.digest
        md5 = hashes.md5
    }

    /// The number of bytes.
    var size: Int64 { range.upperBound - range.lowerBound }
}

/// A request as it is sent: its URL, and each header as one line.
struct SignedRequest: Sendable {
    let url: String
    let headers: [String]
}

/// A complete answer.
struct HTTPAnswer: Sendable {
    let status: Int
    var headers: HTTPHeaders
    /// The body of a 2xx.
    var received = Received()
    /// The contents of any other body.
    var error = ErrorBody()
    /// The MD5 of the request's body as it was sent; nil if it was not computed.
    var sentMD5: [UInt8]?
    /// Whether the request's body was sent more than once. This is the answer to the last copy.
    var wasResent = false

    /// The body of a 2xx.
    struct Received: Sendable {
        /// The bytes; empty if the body was written to a file.
        var bytes: [UInt8] = []
        var size: Int64 = 0
        /// nil if no body was expected.
        var digest: Digest?
    }

    /// The error code.
    var asError: StoreError.Answer { .init(status: status, code: error.code) }
}

/// Response headers; names in lower case.
struct HTTPHeaders: Sendable {
    private var values: [String: String] = [:]

    /// Adds a line as it was received, and ignores a line that is not a header. If a header is
    /// repeated, the last one counts.
    mutating func add(line: some Collection<UInt8>) {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return }
        let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
        let isSpace: (UInt8) -> Bool = { [0x20, 0x09, 0x0D, 0x0A].contains($0) }
        var value = Array(line[line.index(after: colon)...].drop(while: isSpace))
        while value.last.map(isSpace) == true { value.removeLast() }
        values[name] = String(decoding: value, as: UTF8.self)
    }

    subscript(_ name: String) -> String? { values[name] }
}

extension HTTPHeaders: ExpressibleByDictionaryLiteral {
    init(dictionaryLiteral elements: (String, String)...) {
        values = Dictionary(elements) { $1 }
    }
}
