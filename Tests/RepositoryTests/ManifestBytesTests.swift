import GitProtocol
import ObjectStore
import Testing

@testable import Repository

/// A manifest's bytes.
@Suite struct ManifestBytesTests {
    private static let a = String(repeating: "a", count: 40)
    private static let digest = String(repeating: "d", count: 64)
    private static let empty =
        #"{"version":1,"head":"refs/heads/main","refs":{},"packs":[],"parent":null}"#

    private func fields(
        refs: [(name: [UInt8], id: String)] = [], packs: [String] = [], parent: String? = nil,
        peeled: [(name: [UInt8], id: String)]? = nil, objectFormat: String? = nil
    ) -> String {
        let fields = ManifestFields(
            version: 1, head: Array("refs/heads/main".utf8), refs: refs, packs: packs,
            parent: parent, peeled: peeled, objectFormat: objectFormat)
        return String(decoding: fields.canonicalBytes, as: UTF8.self)
    }

    @Test func bytesAreThePinnedOnes() throws {
        #expect(fields() == Self.empty)
        let second =
            #"{"version":1,"head":"refs/heads/main","refs":{"refs/heads/main":""#
            + #"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},"packs":["packs/p1"],"parent":null}"#
        #expect(
            fields(refs: [(Array("refs/heads/main".utf8), Self.a)], packs: ["packs/p1"]) == second)
        let head = try #require(RefName("refs/heads/main"))
        #expect(
            try Manifest(head: head).canonicalBytes() == Array(Self.empty.utf8))
        #expect(try Manifest(parsing: Array(Self.empty.utf8)) == Manifest(head: head))
    }

    @Test func optionalFieldsHaveTheirPlaces() {
        let tag = (name: Array("refs/tags/v1".utf8), id: Self.a)
        #expect(
            fields(
                refs: [tag], packs: ["packs/z", "packs/b", "packs/b"], parent: Self.digest,
                peeled: [tag], objectFormat: "sha256")
                == #"{"version":1,"head":"refs/heads/main","refs":{"refs/tags/v1":"\#(Self.a)"},"#
                + #""packs":["packs/b","packs/z"],"parent":"\#(Self.digest)","#
                + #""peeled":{"refs/tags/v1":"\#(Self.a)"},"objectFormat":"sha256"}"#)
        #expect(fields(peeled: []).hasSuffix(#""parent":null,"peeled":{}}"#))
    }

    @Test func namesSortByBytesAndOnlyQuotesAreEscaped() {
        let names = [
            "refs/heads/Z", "refs/heads/a", "refs/heads/a\"b", "refs/heads/a-b", "refs/heads/a/b",
            "refs/heads/a\\b", "refs/heads/e\u{301}", "refs/heads/é", "refs/heads/🎉",
        ]
        let text = fields(refs: names.shuffled().map { (Array($0.utf8), Self.a) })
        let escaped = names.map {
            $0.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        }
        let expected = escaped.map { "\"\($0)\":\"\(Self.a)\"" }.joined(separator: ",")
        #expect(
            text.utf8.elementsEqual(
                Self.empty.replacing("\"refs\":{}", with: "\"refs\":{\(expected)}").utf8))
    }

    @Test func equivalentFormsOfALetterAreBothKept() throws {
        let composed = try #require(RefName("refs/heads/\u{e9}"))
        let decomposed = try #require(RefName("refs/heads/e\u{301}"))
        let one = try #require(ObjectID(Array(Self.a.utf8)))
        let two = try #require(ObjectID(Array(Self.a.replacing("a", with: "b").utf8)))
        let manifest = Manifest(
            head: composed, refs: [composed: one, decomposed: two])
        let read = try Manifest(parsing: try manifest.canonicalBytes())
        #expect(read == manifest)
        #expect(read.refs.count == 2 && read.refs[composed] == one && read.refs[decomposed] == two)
    }
}
