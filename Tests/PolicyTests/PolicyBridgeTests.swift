import Bridge
import GitProtocol
import Glibc
import ObjectStore
import Policy
import Posix
import Testing

/// The server's end of the bridge.
@Suite struct PolicyBridgeTests {
    private static let one = String(repeating: "1", count: 40)
    private static let two = String(repeating: "2", count: 40)
    private static let main = "\(one) \(two) refs/heads/main"
    private static let other = "\(one) \(two) refs/heads/é"

    init() { signal(SIGPIPE, SIG_IGN) }

    private func bridge(user: String? = "somebody") throws -> PolicyBridge {
        PolicyBridge(
            rule: AccessRule(), repository: try #require(RepositoryName("owner/repo")),
            requester: Requester(user: user),
            asked: try [Self.main, Self.other].map {
                try #require(RefUpdate(line: Array($0.utf8)))
            })
    }

    private func answer(_ input: String, user: String? = "somebody") throws
        -> (word: BridgeChannel.Word, allowed: [RefUpdate]?)
    {
        let (word, allowed) = try bridge(user: user).answer(Array(input.utf8))
        return (word, allowed)
    }

    @Test func bridgeAllowsExactlyTheRequestedUpdates() throws {
        let all = try answer("\(Self.main)\n\(Self.other)\n")
        #expect(all.word.kind == .allow)
        #expect(all.allowed?.map(\.line) == [Self.main, Self.other].map { Array($0.utf8) })
        let some = try answer("\(Self.other)\n")
        #expect(some.word.kind == .allow)
        #expect(some.allowed?.count == 1)
    }

    @Test(arguments: [nil, ""])
    func requestWithoutAUserIsDenied(user: String?) throws {
        let (word, allowed) = try answer("\(Self.main)\n", user: user)
        #expect(word.kind == .deny && allowed == nil)
        #expect(!word.bytes.isEmpty)
    }

    @Test(arguments: [
        "", "\n", "\n\n", "\(main)\n\(one) \(two) refs/heads/x\n",
        "\(one) \(one) refs/heads/main",
        "\(two) \(one) refs/heads/main", "\(main) ", " \(main)", "\(main)\r\n", "\(main)\0",
        "\(main)\n\(main)x", "\(one) \(two) refs/heads/e\u{301}", "\(one) \(two) HEAD",
        "garbage",
        "\(main)\ngarbage",
    ])
    func differingLineDeniesEverything(input: String) throws {
        let (word, allowed) = try answer(input)
        #expect(word.kind == .deny && allowed == nil)
    }

    /// Serves one end of a socket pair after `bytes` were written to the other, which is closed.
    private func serve(_ bytes: [UInt8]) throws -> [RefUpdate]? {
        let (ours, theirs) = try OwnedDescriptor.socketPair().release()
        try writeAll(theirs, bytes)
        // Only the writing half: the answer may come.
        #expect(shutdown(theirs, Int32(SHUT_WR)) == 0)
        let allowed = try bridge().serve(OwnedDescriptor(taking: ours))
        close(theirs)
        return allowed
    }

    private func frame(_ kind: UInt8, _ body: [UInt8], length: UInt32? = nil) -> [UInt8] {
        let length = length ?? UInt32(body.count)
        return [kind] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) } + body
    }

    @Test func wholeQuestionIsAnswered() throws {
        #expect(try serve(frame(0x51, Array("\(Self.main)\n".utf8)))?.count == 1)
    }

    @Test func truncatedQuestionIsDenied() throws {
        let whole = frame(0x51, Array("\(Self.main)\n".utf8))
        for count in 0..<whole.count {
            #expect(try serve(Array(whole.prefix(count))) == nil, "\(count)")
        }
    }

    @Test func garbageIsDenied() throws {
        let body = Array("\(Self.main)\n".utf8)
        for kind in UInt8.min...UInt8.max where kind != 0x51 {
            #expect(try serve(frame(kind, body)) == nil)
        }
        for length in [UInt32.max, UInt32(BridgeChannel.maximumLength) + 1] {
            #expect(try serve(frame(0x51, body, length: length)) == nil)
        }
        #expect(try serve(body) == nil)
        #expect(try serve(frame(0x51, [])) == nil)
    }

    @Test func goneHookIsNotAllowed() throws {
        let (ours, theirs) = try OwnedDescriptor.socketPair().release()
        try writeAll(theirs, frame(0x51, Array("\(Self.main)\n".utf8)))
        close(theirs)
        #expect(try bridge().serve(OwnedDescriptor(taking: ours)) == nil)
    }
}
