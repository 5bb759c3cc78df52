import Bytes

/// A strong entity tag, exactly as the backend returned it, including its quotes. RFC 9110 §8.8.3.
///
/// It is sent back in If-Match, so values with another meaning there are not tags: a weak one, `*`,
/// a list, an empty value, control characters. It is ASCII, so two tags are equal only if their
/// bytes are.
package struct ETag: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    /// Parses a header's value; nil if it is empty or weak (`W/`), or if no conditional write can
    /// rely on it.
    package init?(_ value: some StringProtocol) {
        let bytes = Array(value.utf8)
        guard let first = bytes.first, let last = bytes.last else { return nil }
        let quote = UInt8(ascii: "\"")
        let isQuoted = bytes.count >= 2 && first == quote && last == quote
        let opaque = isQuoted ? bytes.dropFirst().dropLast() : bytes[...]
        guard opaque.allSatisfy({ (0x21...0x7e).contains($0) && $0 != quote }), !opaque.isEmpty,
            !opaque.elementsEqual("*".utf8)
        else { return nil }
        if !isQuoted {
            // Some backends return tags without quotes, which must not look like a list or a weak
            // tag.
            guard !opaque.contains(UInt8(ascii: ",")), !opaque.starts(with: "W/".utf8),
                !opaque.starts(with: "w/".utf8)
            else { return nil }
        }
        text = String(decoding: bytes, as: UTF8.self)
    }

    /// Creates a tag of our own: `opaque` in quotes. It has letters, digits, dots and dashes.
    init(quoting opaque: String) {
        text = "\"" + opaque + "\""
    }

    /// The tag without its quotes, for backends that accept only that form.
    package var bare: String {
        let bytes = text.utf8
        guard bytes.count >= 2, bytes.first == UInt8(ascii: "\"") else { return text }
        return String(text.dropFirst().dropLast())
    }

    /// The 16 bytes of a tag with 32 hex digits, which may be an MD5; nil for any other form.
    package var md5: [UInt8]? {
        let digits = bare.utf8
        return digits.count == 32 ? Hex.decode(digits) : nil
    }

    package var description: String { text }
}
