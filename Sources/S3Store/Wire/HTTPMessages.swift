import ObjectStore

/// A request before it is signed.
struct HTTPRequest: Sendable {
    /// What an error says was tried.
    let attempt: StoreError.Attempt
    /// The object it is about; nil for the bucket itself.
    var object: ObjectKey?
    let method: Method
    /// The key below the bucket, not encoded; empty for the bucket itself.
    var key: String
    var query: [(name: String, value: String)] = []
    /// Beyond those that every request has.
    var headers: [(name: String, value: String)] = []
    var body: HTTPBody?
    /// What the MD5 of the body is used for.
    var md5 = BodyChecks.MD5Use.none
    /// Bytes of a 2xx's body that are taken into memory, at most; nil: none is awaited, unless the
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

/// The body of a request: an object's, or a part of it.
struct HTTPBody: Sendable {
    let whole: ObjectBody
    /// Which of its bytes.
    let range: Range<Int64>
    /// Of those bytes.
    let digest: Digest
    /// Of those bytes, where it was taken with the digest.
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

    /// Bytes.
    var size: Int64 { range.upperBound - range.lowerBound }
}

/// What goes out: the URL, and each header as one line.
struct SignedRequest: Sendable {
    let url: String
    let headers: [String]
}

/// A complete answer.
struct HTTPAnswer: Sendable {
    let status: Int
    var headers: HTTPHeaders
    /// Of a 2xx: what came in.
    var received = Received()
    /// Of any other: what its body says.
    var error = ErrorBody()
    /// The MD5 of the request's body as it was sent; nil where it was not taken.
    var sentMD5: [UInt8]?
    /// Whether the request's body was sent more than once; this is the answer to the last copy.
    var wasResent = false

    /// The body of a 2xx.
    struct Received: Sendable {
        /// Empty where the body went into a file.
        var bytes: [UInt8] = []
        var size: Int64 = 0
        /// nil: no body was awaited.
        var digest: Digest?
    }

    /// The code for an error value.
    var asError: StoreError.Answer { .init(status: status, code: error.code) }
}

/// Response headers; names in lower case.
struct HTTPHeaders: Sendable {
    private var values: [String: String] = [:]

    /// Adds a line as it came in; what is no header is left out. Of repeated ones the last counts.
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
