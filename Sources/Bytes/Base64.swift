import COpenSSL

/// Base64 with padding. RFC 4648 §4; EVP_EncodeBlock(3).
package enum Base64 {
    /// Encodes bytes.
    package static func encode(_ bytes: [UInt8]) -> String {
        var text = [UInt8](repeating: 0, count: (bytes.count + 2) / 3 * 4 + 1)
        let count = EVP_EncodeBlock(&text, bytes, Int32(bytes.count))
        return String(decoding: text[..<Int(count)], as: UTF8.self)
    }

    /// Decodes a text; nil if it is not base64.
    package static func decode(_ text: String) -> [UInt8]? {
        let encoded = Array(text.utf8)
        guard !encoded.isEmpty, encoded.count.isMultiple(of: 4) else { return nil }
        var bytes = [UInt8](repeating: 0, count: encoded.count / 4 * 3)
        let count = EVP_DecodeBlock(&bytes, encoded, Int32(encoded.count))
        guard count == bytes.count else { return nil }
        // Padding is decoded to zero bytes.
        let padding = encoded.suffix(2).count { $0 == UInt8(ascii: "=") }
        return Array(bytes.dropLast(padding))
    }
}
