import Testing

@testable import GitProtocol

/// Text that can be printed.
@Suite struct PrintableTextTests {
    private func value(_ text: String, limit: Int = 1000) -> String {
        PrintableText.logValue(text, limit: limit)
    }

    @Test func ambiguousValuesAreQuotedAndEscaped() {
        for text in ["main", "refs/heads/main", "10.0.0.1", "[Gateway]", "a'b,c;d", "-", "+3"] {
            #expect(value(text) == text)
        }
        for (text, expected) in [
            ("", #""""#), ("a b", #""a b""#), ("a=b", #""a=b""#), (#"say "x""#, #""say \"x\"""#),
            (#"a\b"#, #""a\\b""#), ("a\r\nb\tc", #""a\r\nb\tc""#), ("\u{1b}[2J", #""\x1b[2J""#),
            ("\u{1b}]0;owned\u{7}", #""\x1b]0;owned\x07""#), ("\u{7f}\0", #""\x7f\x00""#),
            ("gr\u{fc}n", #""gr\xc3\xbcn""#), ("\u{9b}31m", #""\xc2\x9b31m""#),
            ("\u{202e}", #""\xe2\x80\xae""#),
        ] { #expect(value(text) == expected) }
    }

    @Test func longValueSaysHowMuchIsOmitted() {
        #expect(value(String(repeating: "a", count: 10), limit: 10) == "aaaaaaaaaa")
        #expect(value(String(repeating: "a", count: 13), limit: 10) == #""aaaaaaaaaa"+3"#)
        // An escape is never cut.
        #expect(value("aaaaaaa\nbb", limit: 8) == #""aaaaaaa"+3"#)
        #expect(value("aaaaaaaa\u{1b}", limit: 11) == #""aaaaaaaa"+1"#)
    }

    @Test func anyBytesBecomeBoundedReadableASCII() throws {
        var generator = SeededGenerator(seed: 8)
        for round in 0..<3000 {
            let count = Int.random(in: 0..<60, using: &generator)
            let interesting = Array("\"\\=+ \n\r\t\u{1b}ax09".utf8)
            let bytes = (0..<count).map { _ in
                round % 2 == 0
                    ? UInt8.random(in: 0...255, using: &generator)
                    : interesting.randomElement(using: &generator) ?? 0
            }
            let text = String(decoding: bytes, as: UTF8.self)
            let limit = Int.random(in: 1...200, using: &generator)
            let written = value(text, limit: limit)
            #expect(written.utf8.allSatisfy { (0x20...0x7e).contains($0) }, "\(bytes)")
            #expect(written.utf8.count <= limit + 2 + "+1000".utf8.count)
            let (prefix, left) = try #require(Self.read(written), "\(written)")
            #expect(prefix.count + left == text.utf8.count)
            #expect(prefix.elementsEqual(text.utf8.prefix(prefix.count)))
            if limit == 200 { #expect(left == 0 || text.utf8.count > 50) }
        }
    }

    /// A value as it was, and the number of bytes that were left out; nil for what is no value.
    static func read(_ written: String) -> (bytes: [UInt8], left: Int)? {
        var rest = Array(written.utf8)[...]
        guard rest.first == UInt8(ascii: "\"") else {
            let isBare = rest.allSatisfy {
                (0x21...0x7e).contains($0) && ![0x22, 0x3d, 0x5c].contains($0)
            }
            return isBare && !rest.isEmpty ? (Array(rest), 0) : nil
        }
        rest = rest.dropFirst()
        var bytes: [UInt8] = []
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""):
                if rest.isEmpty { return (bytes, 0) }
                guard rest.popFirst() == UInt8(ascii: "+"),
                    let left = Int(String(decoding: rest, as: UTF8.self)), left > 0
                else { return nil }
                return (bytes, left)
            case UInt8(ascii: "\\"):
                switch rest.popFirst() {
                case UInt8(ascii: "n"): bytes.append(10)
                case UInt8(ascii: "r"): bytes.append(13)
                case UInt8(ascii: "t"): bytes.append(9)
                case UInt8(ascii: "\\"): bytes.append(0x5c)
                case UInt8(ascii: "\""): bytes.append(0x22)
                case UInt8(ascii: "x"):
                    let digits = String(decoding: rest.prefix(2), as: UTF8.self)
                    guard digits.utf8.count == 2, let value = UInt8(digits, radix: 16) else {
                        return nil
                    }
                    bytes.append(value)
                    rest = rest.dropFirst(2)
                default: return nil
                }
            default: bytes.append(byte)
            }
        }
        return nil
    }

    @Test func sentenceKeepsLettersAndMovesNoCursor() {
        for text in [
            "'a' is 1 = \"b\".", "gr\u{fc}n", "\u{6f22}\u{5b57}", "e\u{301}", "\u{20ac} 5",
        ] {
            #expect(PrintableText.sentence(text) == text)
        }
        for (text, expected) in [
            ("a\r\nb", #"a\r\nb"#), ("\u{1b}[31m", #"\x1b[31m"#), (#"\x1b"#, #"\\x1b"#),
            ("\u{9b}2J", #"\xc2\x9b2J"#), ("a\u{202e}b", #"a\xe2\x80\xaeb"#),
            ("a\u{200b}b", #"a\xe2\x80\x8bb"#), ("\u{2028}", #"\xe2\x80\xa8"#),
            ("\u{7f}", #"\x7f"#), ("\u{e000}", #"\xee\x80\x80"#),
        ] { #expect(PrintableText.sentence(text) == expected) }
        let long = PrintableText.sentence(String(repeating: "\u{1b}", count: 5000), limit: 400)
        #expect(long == String(repeating: #"\x1b"#, count: 100) + "... (4900 more bytes)")
        #expect(PrintableText.shortened("abc", to: 3) == "abc")
        #expect(PrintableText.shortened("ab\u{fc}", to: 3) == "ab...")
    }

    @Test func reportMovesNoCursor() throws {
        let report = PushReport(
            unpackError: nil,
            rejected: [.init(rawName: Array("refs/heads/x".utf8), reason: "no \u{1b}[2J\nway")])
        let text = String(decoding: report.bytes, as: UTF8.self)
        #expect(text.hasSuffix("ng refs/heads/x no \\x1b[2J\\nway\n0000"), "\(text)")
        let long = PushReport(
            unpackError: nil,
            rejected: [.init(rawName: Array(repeating: 0x61, count: 5000), reason: "no")])
        #expect(try #require(long.refusal).utf8.count < 300)
    }
}

/// Numbers that are the same in each run. xorshift64*, Vigna 2016.
private struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }
}
