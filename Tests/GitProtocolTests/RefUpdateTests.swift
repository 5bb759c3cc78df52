import GitProtocol
import Testing

@Suite("An update's line")
struct RefUpdateTests {
    @Test("reads back as itself")
    func roundTrip() throws {
        for name in [
            "refs/heads/main", "refs/heads/\u{e9}", "refs/heads/e\u{301}", "refs/tags/a\"b",
        ] {
            let line = Array("\(PushRequest.zero) \(PushRequest.one) \(name)".utf8)
            #expect(try #require(RefUpdate(line: line)).line == line)
        }
    }

    @Test(
        "anything else is none",
        arguments: [
            "", " ", "a b c", "\(PushRequest.one) \(PushRequest.two)",
            "\(PushRequest.one) \(PushRequest.two) ", "\(PushRequest.one) \(PushRequest.two) HEAD",
            "\(PushRequest.one) \(PushRequest.two) refs/heads/a b",
            " \(PushRequest.one) \(PushRequest.two) refs/heads/a",
            "\(PushRequest.one)  \(PushRequest.two) refs/heads/a",
            "\(PushRequest.one) \(PushRequest.two) refs/heads/a\r",
        ])
    func refuses(line: String) {
        #expect(RefUpdate(line: line.utf8) == nil)
    }
}
