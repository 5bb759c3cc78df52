import Bytes
import ObjectStore
import Testing

@Suite struct ValueTests {
    @Test(arguments: [
        "a/b", "A.b_c-d/0", "9/x.y", String(repeating: "a", count: 100) + "/b", "a/git",
        "a/b.lock.x",
    ])
    func repositoryNamesAreTaken(_ text: String) {
        #expect(RepositoryName(text)?.description == text)
    }

    @Test(arguments: [
        "", "/", "a", "a/", "/b", "a/b/", "a//b", "a/b/c", "../b", "a/..", "a/.b", "-a/b", "_a/b",
        "a/b..c", "a/b.git", "a.git/b", "a/b.lock", "a/b c", "a/b%2f", "a/b\\c", "a/b\0", "a/b\n",
        "a/b\r\n", "é/b", "a/e\u{301}", "a/b\u{301}", "a/.git", ".", "..", "a/ｂ", "a\u{2215}b",
        String(repeating: "a", count: 101) + "/b", "a/.lock", "a/b?c", "a/b#c", "a/b:c",
    ])
    func repositoryNamesAreRefused(_ text: String) {
        #expect(RepositoryName(text) == nil)
    }

    @Test func repositoryNamesAreCaseSensitive() {
        #expect(RepositoryName("a/B") != RepositoryName("a/b"))
    }

    static let digits = String(repeating: "0123456789abcdef", count: 4)
    static let noDigests: [String] = {
        let short = String(digits.dropLast())
        return [
            "", short, digits + "0", digits.uppercased(), short + "g", short + "\n", digits + "\n",
            " " + short, short + "٠", String(digits.dropLast(2)) + "é", "0x" + short.dropLast(),
        ]
    }()
    static let noPackKeys: [String] = [
        "", "packs/", digits, "packs/\(digits).idx", "packs//\(digits)", "Packs/\(digits)",
        "/packs/\(digits)", "manifests/\(digits)", "packs/\(digits)/", "packs/p1",
    ]

    @Test(arguments: noDigests)
    func digestsAreRefused(_ text: String) {
        #expect(Digest(hex: text) == nil)
    }

    @Test func digestsAreOfTheBytes() throws {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        #expect(Digest(of: []).hex == empty)
        #expect(Digest(hex: Self.digits)?.bytes == Array(Self.digits.utf8))
        #expect(Digest(raw: [1]) == nil)
        let raw = (0..<32).map { UInt8($0) }
        #expect(Digest(raw: raw)?.hex.hasPrefix("000102030405060708090a0b0c0d0e0f10") == true)
    }

    @Test func keysAreDerived() throws {
        let digest = try #require(Digest(hex: Self.digits))
        let name = try #require(RepositoryName("acme/site"))
        #expect(ObjectKey.pack(digest).path == "packs/" + Self.digits)
        #expect(ObjectKey.packIndex(digest).path == "packs/" + Self.digits + ".idx")
        #expect(ObjectKey.manifest(digest).path == "manifests/" + Self.digits)
        #expect(ObjectKey.pointer(of: name).path == "repos/acme/site/pointer")
        #expect(ObjectKey.packDigest(in: Array(("packs/" + Self.digits).utf8)) == digest)
    }

    @Test(arguments: noPackKeys)
    func packKeysAreRefused(_ text: String) {
        #expect(ObjectKey.packDigest(in: Array(text.utf8)) == nil)
    }

    @Test(arguments: [
        "\"abc\"", "abc", "\"9-1.2\"", "\"a,b\"", "\"W/x\"",
        "\"d41d8cd98f00b204e9800998ecf8427e-2\"",
    ])
    func tagsAreKeptByteForByte(_ text: String) {
        #expect(ETag(text)?.text == text)
    }

    @Test(arguments: [
        "", "W/\"abc\"", "W/abc", "w/\"abc\"", "w/abc", "*", "\"*\"", "\"\"", "\"", "a,b",
        "\"a\",\"b\"", "\"a\", \"b\"", "\"a", "a\"", "a b", "\"a b\"", "\"a\"\r\n", "\"a\r\nX: y\"",
        "\"a\0\"", "\"é\"", "\"e\u{301}\"", "\"a\u{7f}\"", " \"a\"", "\"a\" ",
    ])
    func tagsAreRefused(_ text: String) {
        #expect(ETag(text) == nil)
    }

    @Test func bareTagsHaveNoQuotes() {
        #expect(ETag("\"abc\"")?.bare == "abc")
        #expect(ETag("abc")?.bare == "abc")
        #expect(ETag("\"abc\"") != ETag("abc"))
    }
}
