import Bytes

/// Text of unknown origin (a ref name, a header, git's own words) made fit for a line of the log or
/// for a terminal: one line, without control characters, and bounded.
///
/// A byte is escaped as `\\`, `\"`, `\n`, `\r`, `\t`, or as `\x` and two lower-case hex digits, so
/// that what was there can be read back.
package enum PrintableText {
    /// The value of a log line's `key=value`: as it is where it has printable ASCII characters
    /// alone, but no space, `"`, `=` or `\`; otherwise between quotes, with every byte escaped that
    /// is not printable ASCII. A value that is too long ends with `"+N` instead of `"`: N bytes of it
    /// are left out.
    ///
    /// - Parameter limit: bytes of the result, without the quotes and the mark.
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

    /// A sentence for a person's terminal. Letters, marks, numbers, punctuation and symbols of any
    /// script stay; all else, `\` included, is escaped byte for byte. One that is too long says how
    /// many bytes are left out.
    ///
    /// - Parameter limit: bytes of the result, without that.
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

    /// A text as it is, but for its end where it is too long.
    ///
    /// - Parameter limit: bytes.
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
