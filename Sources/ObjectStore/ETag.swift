/// A strong entity tag, opaque, as the backend gave it: quotes included, byte for byte.
/// RFC 9110 §8.8.3.
package struct ETag: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    /// Takes a header's value; nil for an empty or a weak (`W/`) one, which no conditional write
    /// can rely on.
    package init?(_ value: some StringProtocol) {
        guard !value.isEmpty, !value.hasPrefix("W/") else { return nil }
        text = String(value)
    }

    /// The tag without its quotes, for a backend that compares only that form.
    package var bare: String {
        guard text.utf8.count >= 2, text.hasPrefix("\""), text.hasSuffix("\"") else { return text }
        return String(text.dropFirst().dropLast())
    }

    package var description: String { text }
}
