import Bytes
import Glibc
import ObjectStore

/// The parts of a request that are signed.
struct SignedParts: Sendable {
    var method: String
    /// Percent-encoded, as it is sent.
    var path: String
    /// Names and values, not encoded.
    var query: [(name: String, value: String)] = []
    /// The headers; all of them are signed.
    var headers: [(name: String, value: String)]
    /// The body's SHA-256, 64 hex digits.
    var bodyDigest: String
}

/// Signature Version 4 as a pure function: signer, service and time are parameters.
///
/// Amazon S3 API Reference, "Signature Calculations for the Authorization Header: Transferring
/// Payload in a Single Chunk".
struct Signature: Sendable {
    let credentials: Credentials
    let region: String
    var service = "s3"
    let timestamp: Timestamp

    /// The value of the Authorization header.
    func authorization(for parts: SignedParts) -> String {
        let names = Self.signedHeaders(parts)
        return "AWS4-HMAC-SHA256 Credential=\(credentials.accessKey)/\(scope)"
            + ", SignedHeaders=\(names), Signature=\(Hex.encode(signature(for: parts)))"
    }

    /// The canonical form of the request, which both ends compute.
    static func canonicalRequest(_ parts: SignedParts) -> String {
        let headers = canonicalHeaders(parts).map { "\($0):\($1)\n" }.joined()
        return [
            parts.method, parts.path, canonicalQuery(parts.query), headers, signedHeaders(parts),
            parts.bodyDigest,
        ].joined(separator: "\n")
    }

    /// The query, encoded and sorted by the encoded bytes, as it is also sent.
    static func canonicalQuery(_ query: [(name: String, value: String)]) -> String {
        query.map { (PercentCoding.encode($0.name), PercentCoding.encode($0.value)) }
            .sorted { precedes($0.0, $1.0) || ($0.0 == $1.0 && precedes($0.1, $1.1)) }
            .map { "\($0)=\($1)" }.joined(separator: "&")
    }

    func stringToSign(_ canonicalRequest: String) -> String {
        let digest = Digest(of: Array(canonicalRequest.utf8))
        return "AWS4-HMAC-SHA256\n\(timestamp.text)\n\(scope)\n\(digest)"
    }

    private var scope: String { "\(timestamp.day)/\(region)/\(service)/aws4_request" }

    private func signature(for parts: SignedParts) -> [UInt8] {
        let seed = Array("AWS4\(credentials.secretKey.revealed)".utf8)
        let key = [timestamp.day, region, service, "aws4_request"].reduce(seed) { key, step in
            HMACSHA256.authenticate(Array(step.utf8), key: key)
        }
        let text = stringToSign(Self.canonicalRequest(parts))
        return HMACSHA256.authenticate(Array(text.utf8), key: key)
    }

    private static func canonicalHeaders(_ parts: SignedParts) -> [(String, String)] {
        parts.headers.map { ($0.name.lowercased(), collapsingSpaces($0.value)) }
            .sorted { precedes($0.0, $1.0) }
    }

    private static func signedHeaders(_ parts: SignedParts) -> String {
        canonicalHeaders(parts).map(\.0).joined(separator: ";")
    }

    /// Compares bytes, since String's own order differs.
    private static func precedes(_ first: String, _ second: String) -> Bool {
        first.utf8.lexicographicallyPrecedes(second.utf8)
    }

    private static func collapsingSpaces(_ value: String) -> String {
        value.utf8.split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
            .joined(separator: " ")
    }
}

/// A time in the format of Signature Version 4, `20130524T000000Z`.
struct Timestamp: Hashable, Sendable {
    let text: String

    /// Formats seconds since 1970. gmtime_r(3).
    init(secondsSince1970 seconds: Int) {
        var seconds = seconds
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let date = [Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday)]
        let time = [parts.tm_hour, parts.tm_min, parts.tm_sec].map(Int.init)
        text =
            date.map(Self.twoDigits).joined() + "T" + time.map(Self.twoDigits).joined() + "Z"
    }

    /// The current time. time(2).
    static var now: Timestamp { Timestamp(secondsSince1970: time(nil)) }

    /// The date, `20130524`.
    var day: String { String(text.prefix(8)) }

    private static func twoDigits(_ number: Int) -> String {
        number < 10 ? "0\(number)" : "\(number)"
    }
}
