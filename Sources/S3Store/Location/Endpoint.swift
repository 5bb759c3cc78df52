import ObjectStore

/// The address of an S3 service: `http://host[:port]` or `https://host[:port]`.
struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    /// `http` or `https`.
    let scheme: String
    /// The value of the Host header: it has a port only if that is not the scheme's default.
    let authority: String

    /// Parses an endpoint.
    ///
    /// - Parameter source: where the text was found, for errors.
    init(_ text: String, source: String) throws(StoreError) {
        let form = "an endpoint is http://HOST[:PORT] or https://HOST[:PORT], without a path"
        let schemes = [("https://", "https", ":443"), ("http://", "http", ":80")]
        guard let (start, scheme, usualPort) = schemes.first(where: { text.hasPrefix($0.0) }) else {
            throw .misconfigured("\(source): \(form).")
        }
        var rest = text.dropFirst(start.count)
        if rest.hasSuffix("/") { rest.removeLast() }
        // The error repeats nothing of the text, since it may contain a user name and a password.
        guard !rest.isEmpty, rest.utf8.allSatisfy(Self.isAllowed), Self.hasSoundPort(rest) else {
            throw .misconfigured("\(source): \(form).")
        }
        self.scheme = scheme
        authority = String(rest.hasSuffix(usualPort) ? rest.dropLast(usualPort.count) : rest)
    }

    private init(scheme: String, authority: String) {
        self.scheme = scheme
        self.authority = authority
    }

    /// Amazon's endpoint of a region.
    static func aws(region: String) -> Endpoint {
        let domain = region.hasPrefix("cn-") ? "amazonaws.com.cn" : "amazonaws.com"
        return Endpoint(scheme: "https", authority: "s3.\(region).\(domain)")
    }

    /// The endpoint's host, prefixed with a bucket's name.
    func hosting(_ bucket: String) -> Endpoint {
        Endpoint(scheme: scheme, authority: "\(bucket).\(authority)")
    }

    /// Whether the host is a numeric address, which cannot be prefixed with a bucket's name.
    var isNumeric: Bool {
        authority.hasPrefix("[")
            || authority.utf8.prefix { $0 != UInt8(ascii: ":") }
                .allSatisfy { $0 == UInt8(ascii: ".") || Self.isDigit($0) }
    }

    /// Whether requests to it leave this machine unencrypted.
    var isExposed: Bool {
        if scheme != "http" { return false }
        let host =
            authority.hasPrefix("[")
            ? authority.prefix { $0 != "]" }.dropFirst() : authority.prefix { $0 != ":" }
        let name = host.lowercased()
        let isLoopback =
            name == "localhost" || name.hasSuffix(".localhost") || name == "::1"
            || (name.hasPrefix("127.") && isNumeric)
        return !isLoopback
    }

    var description: String { "\(scheme)://\(authority)" }

    private static func hasSoundPort(_ authority: Substring) -> Bool {
        let afterHost =
            authority.hasPrefix("[")
            ? authority.drop { $0 != "]" }.dropFirst() : authority.drop { $0 != ":" }
        guard let colon = afterHost.first else { return true }
        let port = afterHost.dropFirst()
        return colon == ":" && port.utf8.allSatisfy(isDigit) && UInt16(port) != nil
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ":"),
            UInt8(ascii: "["), UInt8(ascii: "]"):
            true
        default: isDigit(byte)
        }
    }
}
