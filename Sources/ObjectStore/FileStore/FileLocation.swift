/// A `file:///path` URL, taken apart. RFC 8089.
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
        guard let bytes = Self.percentDecoded(encoded) else {
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
        text = prefix + Self.percentEncoded(path)
    }

    private static func refusal(_ location: String, _ reason: String) -> StoreError {
        .misconfigured(
            "'\(location)' is not a valid file store: \(reason). "
                + "Give an absolute path, as in 'file:///srv/git'.")
    }

    private static func percentDecoded(_ text: some Sequence<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var rest = text.makeIterator()
        while let byte = rest.next() {
            if byte != UInt8(ascii: "%") {
                bytes.append(byte)
                continue
            }
            guard let high = rest.next().flatMap(hexValue), let low = rest.next().flatMap(hexValue)
            else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    /// One spelling for one path, by which an admission record knows the store again.
    private static func percentEncoded(_ path: String) -> String {
        var text = ""
        for byte in path.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "."),
                UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "~"):
                text.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                text += byte < 16 ? "%0" + digits : "%" + digits
            }
        }
        return text
    }

    private static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
