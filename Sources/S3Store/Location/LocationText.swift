import Bytes
import ObjectStore

/// The parts of `s3://bucket/prefix?item=value&…`, each checked for its form. No error repeats the
/// text, since it may contain a secret.
struct LocationText {
    let bucket: String
    /// Empty, or ends in `/`.
    let prefix: String
    let items: LocationItems

    init(_ text: String) throws(StoreError) {
        guard text.hasPrefix("s3://") else {
            throw .misconfigured(
                "Invalid S3 store: expected s3://BUCKET[/PREFIX][?PARAMETER=VALUE&…].")
        }
        let halves = text.dropFirst("s3://".count)
            .split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = halves[0].split(separator: "/", omittingEmptySubsequences: false)
        bucket = try Self.bucket(path[0])
        prefix = try Self.prefix(path.dropFirst())
        items = try LocationItems(halves.count > 1 ? halves[1] : "")
    }

    /// S3 "Bucket naming rules".
    private static func bucket(_ name: Substring) throws(StoreError) -> String {
        guard !name.utf8.contains(UInt8(ascii: "@")), !name.utf8.contains(UInt8(ascii: ":")) else {
            throw .misconfigured(
                "The store's URL cannot contain a user, a password or a port. Set the "
                    + "credentials in the environment or a profile, the address with endpoint=….")
        }
        let bytes = Array(name.utf8)
        let dot = UInt8(ascii: ".")
        let isSound =
            (3...63).contains(bytes.count)
            && bytes.allSatisfy {
                isLowerAlphanumeric($0) || $0 == dot || $0 == UInt8(ascii: "-")
            }
            && bytes.first.map(isLowerAlphanumeric) == true
            && bytes.last.map(isLowerAlphanumeric) == true
            && !zip(bytes, bytes.dropFirst()).contains { $0 == dot && $1 == dot }
        guard isSound else {
            throw .misconfigured(
                "'\(name)' is not a valid bucket name: expected 3 to 63 characters of a-z, 0-9, "
                    + "'.' and '-', with a letter or digit at both ends and no '..'.")
        }
        return String(name)
    }

    private static func prefix(_ parts: some Sequence<Substring>) throws(StoreError) -> String {
        var parts = Array(parts)
        if parts.last?.isEmpty == true { parts.removeLast() }
        for part in parts {
            guard !part.isEmpty, part != ".", part != "..", part.utf8.allSatisfy(isKeySafe) else {
                throw .misconfigured(
                    "'\(part)' cannot be part of a prefix: expected characters of A-Za-z0-9._- "
                        + "between single slashes, and neither '.' nor '..'.")
            }
        }
        return parts.map { $0 + "/" }.joined()
    }

    private static func isKeySafe(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "-"):
            true
        default: isLowerAlphanumeric(byte)
        }
    }
}

/// The query parameters of a location, decoded.
struct LocationItems {
    /// The available parameters.
    enum Name: String, CaseIterable {
        case endpoint
        case region
        case addressing
        case profile
        case authorities = "ca-file"
        case connectTimeout = "connect-timeout"
        case stallTimeout = "stall-timeout"
        case checksum
        case partSize = "part-size"
        case multipartThreshold = "multipart-threshold"
    }

    private var values: [Name: String] = [:]

    init(_ query: some StringProtocol) throws(StoreError) {
        for item in query.split(separator: "&") {
            let halves = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Name(rawValue: String(halves[0])) else {
                let known = Name.allCases.map(\.rawValue).joined(separator: ", ")
                throw .misconfigured(
                    "Unknown query parameter '\(halves[0])' in the store's URL: expected \(known).")
            }
            guard halves.count == 2, let value = PercentCoding.decode(halves[1]), !value.isEmpty
            else {
                throw .misconfigured(
                    "The query parameter '\(name.rawValue)' of the store's URL needs a value, as "
                        + "in \(name.rawValue)=VALUE. Write '%' as '%25'.")
            }
            guard values.updateValue(value, forKey: name) == nil else {
                throw .misconfigured(
                    "The query parameter '\(name.rawValue)' is repeated in the store's URL.")
            }
        }
    }

    subscript(_ name: Name) -> String? { values[name] }

    /// Reads a parameter that selects one of several cases.
    func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: Name
    ) throws(StoreError) -> Choice? where Choice.RawValue == String {
        guard let text = values[name] else { return nil }
        guard let choice = Choice(rawValue: text) else {
            let known = Choice.allCases.map(\.rawValue).joined(separator: " or ")
            throw .misconfigured(
                "Invalid value '\(text)' for \(name.rawValue) in the store's URL: expected "
                    + "\(known).")
        }
        return choice
    }

    /// Reads a parameter that is a number of bytes.
    func bytes(_ name: Name, in range: ClosedRange<Int64>) throws(StoreError) -> Int64? {
        guard let text = values[name] else { return nil }
        guard let count = byteCount(text), range.contains(count) else {
            throw .misconfigured(
                "Invalid value '\(text)' for \(name.rawValue) in the store's URL: expected a "
                    + "size such as 64M, from \(range.lowerBound >> 20)M to "
                    + "\(range.upperBound >> 30)G.")
        }
        return count
    }

    /// Reads a parameter that is an integer number of seconds, from 1 to 3600.
    func seconds(_ name: Name) throws(StoreError) -> Duration? {
        guard let text = values[name] else { return nil }
        guard let number = Int(text), (1...3600).contains(number) else {
            throw .misconfigured(
                "Invalid value '\(text)' for \(name.rawValue) in the store's URL: expected a "
                    + "number of seconds, 1 to 3600.")
        }
        return .seconds(number)
    }
}
