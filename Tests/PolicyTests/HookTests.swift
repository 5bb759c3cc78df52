import Bridge
import Glibc
import Posix
import TestSupport
import Testing

/// The hook as git runs it: the real program, with the channel as descriptor 3.
@Suite struct HookTests {
    private static let question = Array("a question\n".utf8)

    init() { signal(SIGPIPE, SIG_IGN) }

    private struct Ended {
        let ending: ChildProcess.Ending
        let errors: String
        let asked: BridgeChannel.Word?
    }

    /// Runs the hook while `answering` holds the other end.
    private func run(
        _ answering: (consuming BridgeChannel) throws -> Void
    ) throws -> Ended {
        let (ours, theirs) = try OwnedDescriptor.socketPair().release()
        let hook = try Self.start(input: .bytes(Self.question), channel: theirs)
        close(theirs)
        let copy = dup(ours)
        let channel = BridgeChannel(OwnedDescriptor(taking: ours))
        let asked = try channel.receive()
        _ = consume channel
        try answering(BridgeChannel(OwnedDescriptor(taking: copy)))
        let result = try hook.finish()
        return Ended(ending: result.ending, errors: result.errors, asked: asked)
    }

    private static func start(
        input: Command.Input = .nothing, channel: Int32? = nil
    ) throws -> RunningCommand {
        try Command(
            Programs.buildDirectory() + "/git-s3-backend-hook", [], input: input, channel: channel
        ).start()
    }

    @Test func hookPassesOnTheQuestionAndAllows() throws {
        let ended = try run { try $0.send(.init(.allow, [])) }
        #expect(ended.asked == BridgeChannel.Word(.question, Self.question))
        #expect(ended.ending == .exited(0) && ended.errors.isEmpty)
    }

    @Test func allowCanHaveWordsForThePusher() throws {
        let ended = try run { try $0.send(.init(.allow, Array("welcome\n".utf8))) }
        #expect(ended.ending == .exited(0) && ended.errors == "welcome\n")
    }

    @Test func denialReachesThePusher() throws {
        let ended = try run { try $0.send(.init(.deny, Array("not you\n".utf8))) }
        #expect(ended.ending == .exited(1) && ended.errors == "not you\n")
    }

    @Test func otherAnswersRefuse() throws {
        let answers: [(consuming BridgeChannel) throws -> Void] = [
            { _ = consume $0 },
            { try $0.send(.init(.question, Array("allow".utf8))) },
        ]
        for answer in answers {
            let ended = try run(answer)
            #expect(ended.ending == .exited(1))
            #expect(!ended.errors.isEmpty)
        }
    }

    @Test(arguments: [0, 1, 4, 5, 6])
    func truncatedAllowRefuses(count: Int) throws {
        let (ours, theirs) = try OwnedDescriptor.socketPair().release()
        let hook = try Self.start(channel: theirs)
        close(theirs)
        let allow: [UInt8] = [0x41, 0, 0, 0, 2, 0x61, 0x0a]
        try writeAll(ours, Array(allow.prefix(count)))
        shutdown(ours, Int32(SHUT_WR))
        #expect(try hook.finish().ending == .exited(1))
        close(ours)
    }

    @Test func missingChannelRefuses() throws {
        let result = try Self.start().finish()
        #expect(result.ending == .exited(1))
        #expect(!result.errors.isEmpty)
    }
}
