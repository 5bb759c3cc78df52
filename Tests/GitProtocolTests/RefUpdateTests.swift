import GitProtocol
import Testing

/// An update's line.
@Suite struct RefUpdateTests {
    @Test func updateIsReadBackAsWritten() throws {
        for name in [
            "refs/heads/main", "refs/heads/\u{e9}", "refs/heads/e\u{301}", "refs/tags/a\"b",
        ] {
            let line = Array("\(PushRequest.zero) \(PushRequest.one) \(name)".utf8)
            #expect(try #require(RefUpdate(line: line)).line == line)
        }
    }

    @Test(arguments: [
        "", " ", "a b c", "\(PushRequest.one) \(PushRequest.two)",
        "\(PushRequest.one) \(PushRequest.two) ", "\(PushRequest.one) \(PushRequest.two) HEAD",
        "\(PushRequest.one) \(PushRequest.two) refs/heads/a b",
        " \(PushRequest.one) \(PushRequest.two) refs/heads/a",
        "\(PushRequest.one)  \(PushRequest.two) refs/heads/a",
        "\(PushRequest.one) \(PushRequest.two) refs/heads/a\r",
    ])
    func otherLinesAreRefused(line: String) {
        #expect(RefUpdate(line: line.utf8) == nil)
    }
}
