import GitProtocol
import ObjectStore
import Posix
import TestSupport
import Testing

@testable import Cache
@testable import Git
@testable import Repository

/// Packed-refs.
@Suite struct PackedRefsTests {
    private func id(_ digit: String) throws -> ObjectID {
        try #require(ObjectID(Array(String(repeating: digit, count: 40).utf8)))
    }

    private func name(_ text: String) throws -> RefName { try #require(RefName(text)) }

    @Test func headerClaimsPeeledRefsOnlyIfTheyAreKnown() throws {
        let head = try name("refs/heads/main")
        let tag = try name("refs/tags/v1")
        func text(_ manifest: Manifest) -> String {
            String(decoding: PackedRefs(manifest).bytes, as: UTF8.self)
        }
        let peeled = "# pack-refs with: peeled fully-peeled sorted \n"
        let a = String(repeating: "a", count: 40)
        let b = String(repeating: "b", count: 40)
        #expect(text(Manifest(head: head)) == peeled)
        #expect(
            text(Manifest(head: head, refs: [head: try id("a")])) == peeled + "\(a) \(head)\n")
        #expect(
            text(Manifest(head: head, refs: [tag: try id("a")]))
                == "# pack-refs with: sorted \n\(a) \(tag)\n")
        #expect(
            text(Manifest(head: head, refs: [tag: try id("a")], peeled: [tag: try id("b")]))
                == peeled + "\(a) \(tag)\n^\(b)\n")
    }

    @Test func gitReadsThemSortedByBytes() throws {
        let source = try GitSource()
        let commit = try #require(ObjectID(Array(source.commit("one").utf8)))
        let names = [
            "refs/heads/Z", "refs/heads/a", "refs/heads/a-b", "refs/heads/a/b", "refs/heads/a\"b",
            "refs/heads/e\u{301}", "refs/heads/é", "refs/heads/🎉", "refs/heads/main",
        ]
        let refs = try Dictionary(uniqueKeysWithValues: names.map { (try name($0), commit) })
        let manifest = Manifest(head: try name("refs/heads/main"), refs: refs)
        try Files.write(PackedRefs(manifest).bytes, to: source.path + "/packed-refs")
        let listed = try source.run(["for-each-ref", "--format=%(refname)"]).output
            .split(separator: UInt8(ascii: "\n"))
        #expect(listed.map { Array($0) } == refs.keys.sorted().map(\.bytes))
        for name in names {
            #expect(try source.run(["rev-parse", name]).line == commit.hex)
        }
    }
}
