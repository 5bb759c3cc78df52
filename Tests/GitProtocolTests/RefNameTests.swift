import GitProtocol
import Posix
import TestSupport
import Testing

/// Safe ref names.
@Suite struct RefNameTests {
    @Test func rulesEqualGitCheckRefFormat() throws {
        var random = SplitMix64(seed: 20_231)
        var names: [[UInt8]] = Self.shapes.map { Array($0.utf8) }
        while names.count < 1500 { names.append(Self.name(&random)) }
        var accepted = 0
        for name in Set(names) {
            // An argument has no zero byte, and git does not look at the encoding.
            guard !name.contains(0), let text = String(validating: name, as: UTF8.self) else {
                #expect(RefName(name) == nil, "\(name)")
                continue
            }
            let run = try Command.git(["check-ref-format", text]).run()
            let isSafe = run.ending == .exited(0) && name.starts(with: "refs/".utf8)
            #expect((RefName(name) != nil) == isSafe, "\(text.debugDescription)")
            if isSafe { accepted += 1 }
        }
        #expect(accepted > 200, "the generator must hit what is accepted")
    }

    /// Names that sit on a rule of git-check-ref-format(1).
    private static let shapes = [
        "refs/heads/main", "refs/heads", "refs/", "refs", "refs//heads", "refs/heads/",
        "/refs/heads",
        "refs/heads/.a", "refs/heads/a.", "refs/heads/a./b", "refs/heads/a..b", "refs/heads/a.lock",
        "refs/heads/a.lock/b", "refs/heads/.lock", "refs/heads/a.locks", "refs/heads/@",
        "refs/heads/@{", "refs/heads/a@{b", "refs/heads/a@b", "refs/@", "refs/heads/{@",
        "refs/heads/a b", "refs/heads/a~b", "refs/heads/a^b", "refs/heads/a:b", "refs/heads/a?b",
        "refs/heads/a*b", "refs/heads/a[b", "refs/heads/a]b", "refs/heads/a\\b", "refs/heads/-a",
        "refs/heads/a\u{7f}b", "refs/heads/a\u{1}b", "refs/heads/a\nb", "refs/heads/é",
        "refs/heads/e\u{301}", "refs/heads/feature/#12", "refs/heads/v1.0+b", "refs/heads/a\"b",
        "refs/heads/$(id)", "refs/heads/`id`", "refs/heads/;", "refs/heads/a'b", "refs/heads/🎉",
        "refs/heads/\u{85}", "refs/heads/\u{202e}", "HEAD", "@", "refs/heads/..", "refs/heads/.",
        "refs/../heads", "refs/a/b/c/d/e/f", "REFS/heads/a", "refs/.lock/a", "refs/a.lock",
    ]

    private static func name(_ random: inout SplitMix64) -> [UInt8] {
        let pieces = [
            "a", "b", ".", "..", "/", "@", "{", "@{", ".lock", "lock", "~", "^", ":", "?", "*", "[",
            "\\", " ", "\u{7f}", "\u{1f}", "\n", "é", "e\u{301}", "ß", "-", "\"", "x", "y", "Z9",
        ]
        var name = Array((Int.random(in: 0..<8, using: &random) == 0 ? "ref" : "refs/").utf8)
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            // Mostly harmless, so that some are accepted.
            let isPlain = Bool.random(using: &random)
            name += (isPlain ? "a" : pieces.randomElement(using: &random) ?? "").utf8
        }
        return name
    }

    @Test(
        arguments: [
            [0xff], [0xc3], [0xe2, 0x82], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0x80],
            [0xf8, 0x88, 0x80],
            [0xf4, 0x90, 0x80, 0x80],
        ] as [[UInt8]])
    func invalidUTF8IsRefused(bytes: [UInt8]) {
        #expect(RefName(Array("refs/heads/".utf8) + bytes) == nil)
        #expect(RefName(Array("refs/heads/a".utf8) + bytes + Array("b".utf8)) == nil)
    }

    @Test(arguments: 0...255 as ClosedRange<Int>)
    func everyByteIsTreatedAsGitDoes(byte: Int) {
        let forbidden = byte <= 0x20 || byte == 0x7f || "~^:?*[\\".utf8.contains(UInt8(byte))
        let name = RefName(Array("refs/heads/a".utf8) + [UInt8(byte)] + Array("b".utf8))
        // A byte above ASCII is never UTF-8 on its own; `/` parts two components.
        #expect((name == nil) == (forbidden || byte >= 0x80))
    }

    @Test func lengthFitsAPktLineAndAPath() {
        let most = String(repeating: "a", count: RefName.maximumLength - 11)
        #expect(RefName("refs/heads/" + most) != nil)
        #expect(RefName("refs/heads/" + most + "a") == nil)
    }

    @Test func equivalentFormsOfALetterAreTwoNames() throws {
        let composed = try #require(RefName("refs/heads/\u{e9}"))
        let decomposed = try #require(RefName("refs/heads/e\u{301}"))
        #expect(composed.description == decomposed.description, "equal as Swift strings")
        #expect(composed != decomposed)
        #expect(Set([composed, decomposed]).count == 2)
        #expect(Dictionary([(composed, 1), (decomposed, 2)]) { $1 }.count == 2)
    }

    @Test func namesSortByTheirBytes() throws {
        // Swift's own order of these strings is another one.
        let texts = [
            "refs/heads/Z", "refs/heads/a", "refs/heads/a-b", "refs/heads/a/b", "refs/heads/ab",
            "refs/heads/e\u{301}", "refs/heads/z", "refs/heads/\u{e9}", "refs/heads/\u{ff41}",
            "refs/heads/\u{1f389}",
        ]
        let names = try texts.map { try #require(RefName($0)) }
        #expect(names.shuffled().sorted() == names)
        #expect(names.map(\.bytes) == texts.map { Array($0.utf8) })
    }

    @Test func onlyNamesBelowRefsHeadsAreBranches() throws {
        #expect(try #require(RefName("refs/heads/a")).isBranch)
        for name in ["refs/heads", "refs/tags/heads", "refs/headsx/a", "refs/Heads/a"] {
            #expect(try #require(RefName(name)).isBranch == false)
        }
    }
}
