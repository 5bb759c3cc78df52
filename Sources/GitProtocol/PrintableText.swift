import Bytes

/// Converts text of unknown origin (a ref name, a header, git's messages) for a log line or a
/// terminal: one line, without control characters, of limited length.
///
/// A byte is escaped as `\\`, `\"`, `\n`, `\r`, `\t`, or as `\x` and two lowercase hex digits, so
/// that the original can be recovered.
package enum PrintableText {
    /// Returns the value for a log line's `key=value`: unchanged if it consists of printable ASCII
    /// characters except space, `"`, `=` and `\`; otherwise in quotes, with every other byte
    /// escaped. A value that is too long ends with `"+N` instead of `"`, where N is the number of
    /// omitted bytes.
    ///
    /// - Parameter limit: the bytes of the result, without the quotes and the mark.
    package static func logValue(_ text: String, limit: Int) -> String {
        if !text.isEmpty, text.utf8.count <= limit, text.utf8.allSatisfy(isBare) { return text }
        var result = "\""
        var size = 0
        var left = text.utf8.count
        for byte in text.utf8 {
            let isPlain = (0x20...0x7e).contains(byte) && byte != 0x22 && byte != 0x5c
            let written = isPlain ? String(UnicodeScalar(byte)) : escape(byte)
            size += written.utf8.count
            if size > limit { break }
            result += written
            left -= 1
        }
        return result + (left == 0 ? "\"" : "\"+\(left)")
    }

    /// Returns a sentence for a person's terminal. Letters, marks, numbers, punctuation and symbols
    /// of any script stay; everything else, including `\`, is escaped byte by byte. A sentence that
    /// is too long ends with the number of omitted bytes.
    ///
    /// - Parameter limit: the bytes of the result, without that number.
    package static func sentence(_ text: String, limit: Int = 4000) -> String {
        var result = ""
        var size = 0
        var left = text.utf8.count
        for scalar in text.unicodeScalars {
            let bytes = String(scalar).utf8
            let written =
                isReadable(scalar) ? String(scalar) : bytes.map { escape($0) }.joined()
            size += written.utf8.count
            if size > limit { break }
            result += written
            left -= bytes.count
        }
        return left == 0 ? result : result + "... (\(left) more bytes)"
    }

    /// Returns a text, truncated if it is too long.
    ///
    /// - Parameter limit: the length in bytes.
    package static func shortened(_ text: String, to limit: Int) -> String {
        if text.utf8.count <= limit { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            if result.utf8.count + UTF8.width(scalar) > limit { break }
            result.unicodeScalars.append(scalar)
        }
        return result + "..."
    }

    private static func isBare(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "="), UInt8(ascii: "\\"): false
        default: (0x21...0x7e).contains(byte)
        }
    }

    private static func isReadable(_ scalar: UnicodeScalar) -> Bool {
        if scalar.isASCII { return (0x20...0x7e).contains(scalar.value) && scalar != "\\" }
        // Joiners, fillers and the like are invisible, and may be letters or marks.
        if scalar.properties.isDefaultIgnorableCodePoint { return false }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
            .paragraphSeparator, .spaceSeparator:
            return false
        default: return true
        }
    }

    private static func escape(_ byte: UInt8) -> String {
        switch byte {
        case UInt8(ascii: "\\"): return "\\\\"
        case UInt8(ascii: "\""): return "\\\""
        case UInt8(ascii: "\n"): return "\\n"
        case UInt8(ascii: "\r"): return "\\r"
        case UInt8(ascii: "\t"): return "\\t"
        default:
            return "\\x" + Hex.encode([byte])
        }
    }
}
