/// Percent-encoding as Signature Version 4 requires it: every byte except `A-Za-z0-9-._~` becomes
/// `%XX`, in capitals. RFC 3986 §2.1.
package enum PercentCoding {
    /// Encodes one component, such as the name or value of a query parameter, slashes included.
    package static func encode(_ text: String) -> String {
        encode(text, keepingSlashes: [])
    }

    /// Encodes a path and keeps its slashes.
    package static func encodePath(_ path: String) -> String {
        encode(path, keepingSlashes: [UInt8(ascii: "/")])
    }

    /// Decodes a text; nil if a `%` is not followed by two hex digits, or if the result is not UTF-8.
    /// `+` stays `+`.
    package static func decode(_ text: some StringProtocol) -> String? {
        decodeBytes(text.utf8).flatMap { String(validating: $0, as: UTF8.self) }
    }

    /// Decodes a text to bytes; nil if a `%` is not followed by two hex digits.
    package static func decodeBytes(_ text: some Sequence<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var rest = text.makeIterator()
        while let byte = rest.next() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.next().flatMap(Hex.value(of:)),
                let low = rest.next().flatMap(Hex.value(of:))
            else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func encode(_ text: String, keepingSlashes kept: [UInt8]) -> String {
        var encoded: [UInt8] = []
        encoded.reserveCapacity(text.utf8.count)
        for byte in text.utf8 {
            if isUnreserved(byte) || kept.contains(byte) {
                encoded.append(byte)
            } else {
                encoded += [UInt8(ascii: "%")] + Hex.uppercaseDigits(byte)
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "_"), UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
