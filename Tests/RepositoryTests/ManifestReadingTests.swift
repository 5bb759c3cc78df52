import Bytes
import GitProtocol
import ObjectStore
import Testing

@testable import Repository

/// Reading a manifest.
@Suite struct ManifestReadingTests {
    private static let a = String(repeating: "a", count: 40)
    private static let long = String(repeating: "b", count: 64)

    /// A manifest's text with some members replaced, or added, or (nil) left out.
    private static func text(_ changes: (String, String?)...) -> String {
        var members: [(String, String)] = [
            ("version", "1"), ("head", #""refs/heads/main""#), ("refs", "{}"), ("packs", "[]"),
            ("parent", "null"),
        ]
        for (key, value) in changes {
            if let index = members.firstIndex(where: { $0.0 == key }) {
                if let value { members[index].1 = value } else { members.remove(at: index) }
            } else if let value {
                members.append((key, value))
            }
        }
        return "{" + members.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}"
    }

    private func read(_ text: String) throws -> Manifest {
        try Manifest(parsing: Array(text.utf8))
    }

    @Test func unknownKeysWhiteSpaceAndOrderAreIgnored() throws {
        let plain = try read(Self.text())
        #expect(try read(Self.text(("future", #"{"a":[1,2.5e-3,true,false,null,"x"]}"#))) == plain)
        #expect(
            try read(
                """
                 { "parent" : null , "packs":[ ] ,\t"refs": { },
                "head": "refs\\/heads\\/main", "version":1 }\r\n
                """) == plain)
        #expect(
            try read(Self.text(("head", #""\u0072efs/heads/\u006dain""#))) == plain)
    }

    @Test func escapesAreDecoded() throws {
        let read = try read(
            Self.text(
                ("refs", #"{"refs/heads/\u00e9\"\ud83c\udf89":"\#(Self.a)"}"#)))
        #expect(read.refs.keys.first?.bytes == Array("refs/heads/é\"🎉".utf8))
    }

    @Test(arguments: [
        "0", "3", "10", "1.0", "1e0", "-1", "01", "\"1\"", "null", "true", "[1]",
        "99999999999999999999999999", "1E400",
    ])
    func otherVersionsAreRefused(version: String) {
        #expect(throws: Manifest.Invalid.self) { try read(Self.text(("version", version))) }
    }

    @Test func tombstoneHasNoRefs() throws {
        let tombstone = try read(Self.text(("version", "2"), ("parent", "\"\(Self.long)\"")))
        #expect(tombstone.kind == .tombstone)
        #expect(try read(String(decoding: tombstone.canonicalBytes(), as: UTF8.self)) == tombstone)
        let mark = ("mark", "\"\(Self.long)\"")
        let marked = try read(Self.text(("version", "2"), mark))
        #expect(marked.mark?.hex == Self.long)
        #expect(try read(String(decoding: marked.canonicalBytes(), as: UTF8.self)) == marked)
        // It is nothing that a reader needs.
        #expect(try read(Self.text(("version", "2"), ("mark", "7"))).mark == nil)
        #expect(try read(Self.text(mark)).mark == nil)
        #expect(throws: Manifest.Invalid.self) {
            try read(
                Self.text(("version", "2"), ("refs", #"{"refs/heads/a":"\#(Self.a)"}"#)))
        }
    }

    @Test(arguments: ["version", "head", "refs", "packs", "parent"])
    func missingFieldIsRefused(field: String) {
        #expect(throws: Manifest.Invalid.self) { try read(Self.text((field, nil))) }
    }

    @Test(arguments: [
        ("head", #""""#), ("head", "null"), ("head", #""refs/tags/a""#), ("head", #""main""#),
        ("head", #""ref: refs/heads/main""#), ("head", #""refs/heads/a b""#),
        ("refs", "[]"), ("refs", "null"), ("refs", #"{"HEAD":"\#(a)"}"#),
        ("refs", #"{"refs/heads/a":null}"#), ("refs", #"{"refs/heads/a":"\#(a)0"}"#),
        ("refs", #"{"refs/heads/a":"\#(a.uppercased())"}"#),
        ("refs", #"{"refs/heads/a":"\#(long)"}"#),
        ("refs", #"{"refs/heads/a":"0000000000000000000000000000000000000000"}"#),
        ("refs", #"{"refs/heads/a..b":"\#(a)"}"#), ("refs", #"{"refs/heads/a\n":"\#(a)"}"#),
        ("refs", #"{"refs/heads/a\u0000":"\#(a)"}"#),
        ("packs", "{}"), ("packs", "null"), ("packs", #"["packs/p1"]"#),
        ("packs", #"["\#(long)"]"#),
        ("packs", #"["packs/\#(long).idx"]"#), ("packs", #"["packs/\#(long)/"]"#),
        ("packs", "[1]"),
        ("packs", #"["packs/../packs/\#(long)"]"#),
        ("packs", #"["packs/\#(long.uppercased())"]"#),
        ("parent", #""""#), ("parent", "0"), ("parent", #""manifests/\#(long)""#),
        ("parent", #""\#(a)""#), ("peeled", "null"), ("peeled", "[]"),
        ("peeled", #"{"refs/tags/a":"\#(a)"}"#), ("objectFormat", "null"),
        ("objectFormat", #""md5""#), ("objectFormat", "1"), ("objectFormat", #""SHA256""#),
    ])
    func invalidFieldIsRefused(field: String, value: String) {
        #expect(throws: Manifest.Invalid.self) { try read(Self.text((field, value))) }
    }

    @Test func idsHaveTheLengthOfTheFormat() throws {
        let refs = ("refs", #"{"refs/heads/a":"\#(Self.long)"}"#)
        #expect(try read(Self.text(refs, ("objectFormat", #""sha256""#))).objectFormat == .sha256)
        #expect(throws: Manifest.Invalid.self) { try read(Self.text(refs)) }
        #expect(throws: Manifest.Invalid.self) {
            try read(
                Self.text(
                    ("refs", #"{"refs/heads/a":"\#(Self.a)"}"#), ("objectFormat", #""sha256""#)))
        }
    }

    @Test func peeledCanBeMissingOnlyWhenReading() throws {
        let tags = #"{"refs/tags/v1":"\#(Self.a)"}"#
        let old = try read(Self.text(("refs", tags)))
        #expect(old.needsPeeled && old.peeled == nil)
        #expect(throws: Manifest.Invalid.self) { try old.canonicalBytes() }
        var new = old
        new.peeled = [:]
        #expect(throws: Never.self) { try new.canonicalBytes() }
        #expect(try read(Self.text(("refs", tags), ("peeled", tags))).peeled?.count == 1)
        #expect(
            try read(Self.text(("refs", #"{"refs/heads/v1":"\#(Self.a)"}"#))).needsPeeled == false)
    }

    @Test func duplicateKeysAreRefusedAtEveryLevel() {
        let a = Self.a
        let texts = [
            Self.text().replacing("\"version\":1", with: "\"version\":1,\"version\":1"),
            Self.text().replacing("\"refs\":{}", with: "\"refs\":{},\"\\u0072efs\":{}"),
            Self.text(("refs", #"{"refs/heads/a":"\#(a)","refs/heads/a":"\#(a)"}"#)),
            Self.text(("refs", #"{"refs/heads/é":"\#(a)","refs/heads/\u00e9":"\#(a)"}"#)),
            Self.text(("refs", #"{"refs/heads/a":"\#(a)","refs\/heads\/a":"\#(a)"}"#)),
            Self.text(("future", #"{"x":1,"x":2}"#)),
            Self.text(("future", "1")).replacing("\"future\":1", with: "\"future\":1,\"future\":1"),
        ]
        for text in texts {
            #expect(throws: Manifest.Invalid.self, "\(text)") { try read(text) }
        }
    }

    @Test func canonicallyEquivalentKeysAreDifferent() throws {
        let refs = "{\"refs/heads/\u{e9}\":\"\(Self.a)\",\"refs/heads/e\u{301}\":\"\(Self.a)\"}"
        #expect(try read(Self.text(("refs", refs))).refs.count == 2)
    }

    @Test func truncatedManifestIsRefused() throws {
        let text = Self.text(
            ("refs", #"{"refs/heads/é\"":"\#(Self.a)"}"#), ("packs", #"["packs/\#(Self.long)"]"#),
            ("future", #"[1,"\ud83c\udf89",{"a":true}]"#))
        let bytes = Array(text.utf8)
        #expect(throws: Never.self) { try Manifest(parsing: bytes) }
        for count in 0..<bytes.count {
            #expect(throws: Manifest.Invalid.self, "\(count)") {
                try Manifest(parsing: Array(bytes.prefix(count)))
            }
        }
    }

    @Test(arguments: [
        "", " ", "null", "[]", "1", "\"\"", "{", "}", "{}{}", "{} x", "{,}", "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}", "{a:1}", "{'a':1}", "[1,]", "{\"a\":tru}", "{\"a\":nul}", "\u{feff}{}",
        #"{"a":"\x"}"#, #"{"a":"\u12"}"#, #"{"a":"\u+123"}"#, #"{"a":"\ud800"}"#,
        #"{"a":"\udc00"}"#, #"{"a":"\ud800\ud800"}"#, #"{"a":"\ud800x"}"#, #"{"a":"\ud800\n"}"#,
        #"{"a":"\uD83C\uDF8"}"#, "{\"a\":\"\n\"}", "{\"a\":\"\u{1}\"}", #"{"a":"\"#,
        "{\"a\":+1}",
        "{\"a\":.5}",
    ])
    func invalidJSONIsRefused(text: String) {
        // A value other than an object is JSON, but not a manifest.
        if case .object = try? JSONBytes(parsing: Array(text.utf8)) {
            Issue.record("parsed as an object")
        }
        #expect(throws: Manifest.Invalid.self) { try read(text) }
    }

    @Test(arguments: [
        ("0", true), ("-0", true), ("12", true), ("1.5", true), ("1e9", true), ("1E+9", true),
        ("1.5e-7", true), ("01", false), ("-", false), ("1.", false), ("1e", false),
        ("--1", false),
        ("1.2.3", false), ("1e+", false), ("-.5", false), ("1-2", false), ("00", false),
    ])
    func numbersFollowRFC8259(text: String, isNumber: Bool) {
        #expect((try? read(Self.text(("future", text)))) != nil ? isNumber : !isNumber)
    }

    @Test func nestingIsBounded() {
        for count in [40, 1000, 1_000_000] {
            let deep = String(repeating: "[", count: count)
            #expect(throws: Manifest.Invalid.self) { try read(Self.text(("future", deep))) }
            #expect(throws: Manifest.Invalid.self) { try read(deep) }
        }
        let fine = String(repeating: "[", count: 20) + String(repeating: "]", count: 20)
        #expect(throws: Never.self) { try read(Self.text(("future", fine))) }
    }

    @Test func invalidUTF8IsRefused() {
        let text = Array(Self.text(("future", "\"x\"")).utf8)
        for bad in [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xc0, 0x80]] as [[UInt8]] {
            let bytes = text.flatMap { $0 == UInt8(ascii: "x") ? bad : [$0] }
            #expect(throws: Manifest.Invalid.self) { try Manifest(parsing: bytes) }
        }
    }
}
