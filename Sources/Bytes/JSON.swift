/// A JSON text as bytes: strings stay byte strings, and members keep their order and number. RFC
/// 8259. Foundation's decoder merges keys that are canonically equivalent, which would lose refs.
package enum JSONBytes: Equatable {
    case string([UInt8])
    case number([UInt8])
    case object([(key: [UInt8], value: JSONBytes)])
    case array([JSONBytes])
    case bool(Bool)
    case null

    package static func == (left: JSONBytes, right: JSONBytes) -> Bool {
        switch (left, right) {
        case (.string(let a), .string(let b)), (.number(let a), .number(let b)): a == b
        case (.object(let a), .object(let b)):
            a.count == b.count && zip(a, b).allSatisfy { $0.key == $1.key && $0.value == $1.value }
        case (.array(let a), .array(let b)): a == b
        case (.bool(let a), .bool(let b)): a == b
        case (.null, .null): true
        default: false
        }
    }

    /// The reason why a text is not valid JSON.
    package struct Failure: Error, CustomStringConvertible {
        let offset: Int
        let reason: String
        package var description: String { "\(reason) at byte \(offset)" }
    }

    /// Parses a text that consists of one value. Duplicate keys are refused.
    package init(parsing bytes: [UInt8]) throws(Failure) {
        var parser = Parser(bytes: bytes)
        self = try parser.value(depth: 0)
        parser.skipSpace()
        if parser.offset != bytes.count { throw parser.failure("more than one value") }
    }
}

extension JSONBytes {
    /// A string of text.
    package static func text(_ text: some CustomStringConvertible) -> JSONBytes {
        .string(Array(text.description.utf8))
    }

    /// A string, or null for nil.
    package static func optional(_ text: (some CustomStringConvertible)?) -> JSONBytes {
        text.map { .text($0) } ?? .null
    }

    /// A whole number.
    package static func integer(_ number: some BinaryInteger) -> JSONBytes {
        .number(Array(number.description.utf8))
    }

    /// The value as text without white space, members in their order. RFC 8259.
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

    /// `"`, `\` and control characters are escaped; everything else stays as it is.
    private static func append(_ string: [UInt8], to json: inout [UInt8]) {
        json.append(UInt8(ascii: "\""))
        for byte in string {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                json += [UInt8(ascii: "\\"), byte]
            case 0..<0x20:
                json += Array("\\u00".utf8) + Hex.digits(byte)
            default: json.append(byte)
            }
        }
        json.append(UInt8(ascii: "\""))
    }
}

private struct Parser {
    let bytes: [UInt8]
    var offset = 0

    /// The largest depth. A manifest has three levels; the value of an unknown key may have some
    /// more.
    private let maximumDepth = 32

    init(bytes: [UInt8]) { self.bytes = bytes }

    func failure(_ reason: String) -> JSONBytes.Failure {
        JSONBytes.Failure(offset: offset, reason: reason)
    }

    private var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    mutating func skipSpace() {
        while let byte = current, byte == 0x20 || (0x09...0x0a).contains(byte) || byte == 0x0d {
            offset += 1
        }
    }

    private mutating func expect(_ byte: UInt8) throws(JSONBytes.Failure) {
        guard current == byte else {
            throw failure("expected '\(Character(Unicode.Scalar(byte)))'")
        }
        offset += 1
    }

    private mutating func word(
        _ text: String, _ value: JSONBytes
    ) throws(JSONBytes.Failure) -> JSONBytes {
        guard bytes[offset...].starts(with: text.utf8) else { throw failure("not a value") }
        offset += text.utf8.count
        return value
    }

    mutating func value(depth: Int) throws(JSONBytes.Failure) -> JSONBytes {
        if depth > maximumDepth { throw failure("nested too deeply") }
        skipSpace()
        switch current {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-")?, (0x30...0x39)?: return try number()
        default: throw failure("not a value")
        }
    }

    /// RFC 8259 §6.
    private mutating func number() throws(JSONBytes.Failure) -> JSONBytes {
        let start = offset
        if current == UInt8(ascii: "-") { offset += 1 }
        if current == UInt8(ascii: "0") { offset += 1 } else { try digits() }
        if current == UInt8(ascii: ".") {
            offset += 1
            try digits()
        }
        if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
            offset += 1
            if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { offset += 1 }
            try digits()
        }
        return .number(Array(bytes[start..<offset]))
    }

    private mutating func digits() throws(JSONBytes.Failure) {
        let start = offset
        while let byte = current, (0x30...0x39).contains(byte) { offset += 1 }
        if offset == start { throw failure("not a number") }
    }

    private mutating func array(depth: Int) throws(JSONBytes.Failure) -> JSONBytes {
        try expect(UInt8(ascii: "["))
        var elements: [JSONBytes] = []
        skipSpace()
        if current == UInt8(ascii: "]") {
            offset += 1
            return .array([])
        }
        while true {
            elements.append(try value(depth: depth + 1))
            skipSpace()
            if current == UInt8(ascii: "]") {
                offset += 1
                return .array(elements)
            }
            try expect(UInt8(ascii: ","))
        }
    }

    private mutating func object(depth: Int) throws(JSONBytes.Failure) -> JSONBytes {
        try expect(UInt8(ascii: "{"))
        var members: [(key: [UInt8], value: JSONBytes)] = []
        var seen: Set<[UInt8]> = []
        skipSpace()
        if current == UInt8(ascii: "}") {
            offset += 1
            return .object([])
        }
        while true {
            skipSpace()
            let key = try string()
            guard seen.insert(key).inserted else { throw failure("a duplicate key") }
            skipSpace()
            try expect(UInt8(ascii: ":"))
            members.append((key, try value(depth: depth + 1)))
            skipSpace()
            if current == UInt8(ascii: "}") {
                offset += 1
                return .object(members)
            }
            try expect(UInt8(ascii: ","))
        }
    }

    private mutating func string() throws(JSONBytes.Failure) -> [UInt8] {
        try expect(UInt8(ascii: "\""))
        var text: [UInt8] = []
        while let byte = current {
            offset += 1
            switch byte {
            case UInt8(ascii: "\""): return text
            case UInt8(ascii: "\\"): try escape(into: &text)
            case 0..<0x20: throw failure("a control character in a string")
            default: text.append(byte)
            }
        }
        throw failure("a string without an end")
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONBytes.Failure) {
        guard let byte = current else { throw failure("a string without an end") }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var scalar = try hexUnit()
            if (0xd800..<0xdc00).contains(scalar) {
                try expect(UInt8(ascii: "\\"))
                try expect(UInt8(ascii: "u"))
                let low = try hexUnit()
                guard (0xdc00..<0xe000).contains(low) else {
                    throw failure("half a surrogate pair")
                }
                scalar = 0x10000 + (scalar - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let valid = Unicode.Scalar(scalar) else { throw failure("half a surrogate pair") }
            text.append(contentsOf: String(Character(valid)).utf8)
        default: throw failure("an unknown escape")
        }
    }

    private mutating func hexUnit() throws(JSONBytes.Failure) -> UInt32 {
        guard bytes.count - offset >= 4,
            let digits = String(validating: bytes[offset..<offset + 4], as: UTF8.self),
            digits.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }),
            let unit = UInt32(digits, radix: 16)
        else { throw failure("not four hex digits") }
        offset += 4
        return unit
    }
}
