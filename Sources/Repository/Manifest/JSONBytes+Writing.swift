extension JSONBytes {
    /// A string of text.
    package static func text(_ text: some CustomStringConvertible) -> JSONBytes {
        .string(Array(text.description.utf8))
    }

    /// A string, or null where there is none.
    package static func optional(_ text: (some CustomStringConvertible)?) -> JSONBytes {
        text.map { .text($0) } ?? .null
    }

    /// A whole number.
    package static func integer(_ number: some BinaryInteger) -> JSONBytes {
        .number(Array(number.description.utf8))
    }

    /// The text without white space, members in their order. RFC 8259.
    package var written: [UInt8] {
        var json: [UInt8] = []
        append(to: &json)
        return json
    }

    private func append(to json: inout [UInt8]) {
        switch self {
        case .string(let bytes): Self.append(bytes, to: &json)
        case .number(let digits): json += digits
        case .bool(let value): json += Array((value ? "true" : "false").utf8)
        case .null: json += Array("null".utf8)
        case .array(let values):
            json.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { json.append(UInt8(ascii: ",")) }
                value.append(to: &json)
            }
            json.append(UInt8(ascii: "]"))
        case .object(let members):
            json.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { json.append(UInt8(ascii: ",")) }
                Self.append(member.key, to: &json)
                json.append(UInt8(ascii: ":"))
                member.value.append(to: &json)
            }
            json.append(UInt8(ascii: "}"))
        }
    }

    /// `"`, `\` and control characters are escaped, all else stands as it is.
    private static func append(_ string: [UInt8], to json: inout [UInt8]) {
        json.append(UInt8(ascii: "\""))
        for byte in string {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                json += [UInt8(ascii: "\\"), byte]
            case 0..<0x20:
                let digits = Array(String(byte, radix: 16).utf8)
                json += Array("\\u00".utf8) + (byte < 0x10 ? [UInt8(ascii: "0")] : []) + digits
            default: json.append(byte)
            }
        }
        json.append(UInt8(ascii: "\""))
    }
}
