import Bytes

/// A parsed `file:///path` URL. RFC 8089.
struct FileLocation: Sendable {
    /// The URL, without slashes at its end.
    let text: String
    /// The path, percent-decoded; absolute, without a slash at its end.
    let path: String

    init(_ location: String) throws(StoreError) {
        let prefix = "file://"
        guard location.utf8.starts(with: prefix.utf8) else {
            throw Self.refusal(location, "it does not begin with 'file:///'")
        }
        let encoded = location.utf8.dropFirst(prefix.utf8.count)
        guard encoded.first == UInt8(ascii: "/") else {
            throw Self.refusal(location, "its path is not absolute")
        }
        if encoded.contains(where: { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") }) {
            throw Self.refusal(location, "it has a query; write '?' as %3F and '#' as %23")
        }
        guard let bytes = PercentCoding.decodeBytes(encoded) else {
            throw Self.refusal(
                location,
                "a '%' is not followed by two hex digits; write '%' as %25")
        }
        guard !bytes.contains(where: { $0 < 0x20 || $0 == 0x7f }),
            let decoded = String(validating: bytes, as: UTF8.self)
        else {
            throw Self.refusal(location, "its path has control characters, or is not UTF-8")
        }
        let parts = decoded.utf8.split(separator: UInt8(ascii: "/")).map {
            String(decoding: $0, as: UTF8.self)
        }
        if parts.contains(where: { $0 == "." || $0 == ".." }) {
            throw Self.refusal(location, "its path has '.' or '..'")
        }
        if parts.isEmpty {
            throw Self.refusal(location, "the root directory cannot be a store")
        }
        path = "/" + parts.joined(separator: "/")
        // One spelling for one path, by which an admission record recognizes the store.
        text = prefix + PercentCoding.encodePath(path)
    }

    private static func refusal(_ location: String, _ reason: String) -> StoreError {
        .misconfigured(
            "'\(location)' is not a valid file store: \(reason). "
                + "Give an absolute path, as in 'file:///srv/git'.")
    }
}
