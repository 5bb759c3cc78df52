import Bridge
import Glibc
import Posix
import TestSupport
import Testing

/// The hook as git runs it: the real program, with the channel as descriptor 3.
@Suite("The pre-receive hook")
struct HookTests {
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
        let scratch = try ScratchDirectory()
        try Files.write(Self.question, to: scratch.path + "/in")
        let input = try OwnedDescriptor.open(scratch.path + "/in", O_RDONLY)
        let output = try OwnedDescriptor.open(scratch.path + "/err", O_RDWR | O_CREAT)
        let (ours, theirs) = try OwnedDescriptor.socketPair().release()
        let child = try ChildProcess(
            ChildProcess.Launch(
                path: try Programs.buildDirectory() + "/git-s3-backend-hook", arguments: [],
                environment: [], directory: nil, input: input.raw, output: output.raw,
                error: output.raw, channel: theirs))
        close(theirs)
        let copy = dup(ours)
        let channel = BridgeChannel(OwnedDescriptor(taking: ours))
        let asked = try channel.receive()
        _ = consume channel
        try answering(BridgeChannel(OwnedDescriptor(taking: copy)))
        return Ended(
            ending: try child.wait(),
            errors: String(decoding: try Files.read(scratch.path + "/err"), as: UTF8.self),
            asked: asked)
    }

    @Test("passes on what it read, and an allow is exit status 0")
    func allow() throws {
        let ended = try run { try $0.send(.init(.allow, [])) }
        #expect(ended.asked == BridgeChannel.Word(.question, Self.question))
        #expect(ended.ending == .exited(0) && ended.errors.isEmpty)
    }

    @Test("an allow may come with words for the pusher")
    func allowWithWords() throws {
        let ended = try run { try $0.send(.init(.allow, Array("welcome\n".utf8))) }
        #expect(ended.ending == .exited(0) && ended.errors == "welcome\n")
    }

    @Test("a denial's reason goes to the pusher, and is exit status 1")
    func deny() throws {
        let ended = try run { try $0.send(.init(.deny, Array("not you\n".utf8))) }
        #expect(ended.ending == .exited(1) && ended.errors == "not you\n")
    }

    @Test("an end, another word, or half of one refuses")
    func noAnswer() throws {
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

    @Test("half an allow refuses", arguments: [0, 1, 4, 5, 6])
    func halfAnswer(count: Int) throws {
        let scratch = try ScratchDirectory()
        let null = try OwnedDescriptor.open("/dev/null", O_RDWR)
        let errors = try OwnedDescriptor.open(scratch.path + "/err", O_RDWR | O_CREAT)
        let (ours, theirs) = try OwnedDescriptor.socketPair().release()
        let child = try ChildProcess(
            ChildProcess.Launch(
                path: try Programs.buildDirectory() + "/git-s3-backend-hook", arguments: [],
                environment: [], directory: nil, input: null.raw, output: null.raw,
                error: errors.raw, channel: theirs))
        close(theirs)
        let allow: [UInt8] = [0x41, 0, 0, 0, 2, 0x61, 0x0a]
        try writeAll(ours, Array(allow.prefix(count)))
        shutdown(ours, Int32(SHUT_WR))
        #expect(try child.wait() == .exited(1))
        close(ours)
    }

    @Test("without a channel it refuses")
    func noChannel() throws {
        let tool = try Programs.buildDirectory() + "/git-s3-backend-hook"
        let scratch = try ScratchDirectory()
        let null = try OwnedDescriptor.open("/dev/null", O_RDWR)
        let errors = try OwnedDescriptor.open(scratch.path + "/err", O_RDWR | O_CREAT)
        let child = try ChildProcess(
            ChildProcess.Launch(
                path: tool, arguments: [], environment: [], directory: nil, input: null.raw,
                output: null.raw, error: errors.raw))
        #expect(try child.wait() == .exited(1))
        #expect(try !Files.read(scratch.path + "/err").isEmpty)
    }
}
