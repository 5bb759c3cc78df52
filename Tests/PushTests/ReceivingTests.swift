import Bridge
import GitProtocol
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Git
@testable import Hydration
@testable import Push
@testable import Repository

/// Receiving a push.
@Suite struct ReceivingTests {
    /// Expects that nothing was received, for want of proof or by git's own refusal, and that
    /// nothing was written or left behind.
    private func expectNothing(
        _ bench: Bench, _ body: () throws -> Reception,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let before = try bench.published()
        bench.memory.resetCounts()
        do {
            if case .received = try body() {
                Issue.record("received", sourceLocation: sourceLocation)
            }
        } catch is PushError {
        } catch is GitError {
        } catch is RepositoryError {
        } catch is ProtocolError {
        }
        #expect(bench.memory.counts.puts == 0, sourceLocation: sourceLocation)
        #expect(try bench.published().digest == before.digest, sourceLocation: sourceLocation)
        #expect(try bench.leftovers().isEmpty, sourceLocation: sourceLocation)
    }

    @Test func deniedPushIsReportedAsGitDoes() throws {
        let bench = try Bench()
        guard case .unchanged(let report) = try bench.receive(bench.onePush(), answering: .deny)
        else {
            Issue.record("received")
            return
        }
        #expect(report.accepted.isEmpty)
        #expect(report.rejected.first?.reason == Array("pre-receive hook declined".utf8))
        try expectNothing(bench) { try bench.receive(bench.onePush(), answering: .deny) }
    }

    @Test func reasonOfADenialReachesThePusher() throws {
        let bench = try Bench()
        var heard: [UInt8] = []
        _ = try bench.receive(bench.onePush(), answering: .deny, progress: { heard += $0 })
        #expect(String(decoding: heard, as: UTF8.self).contains("user name and a password"))
    }

    @Test func onlyAnAllowAllows() throws {
        let bench = try Bench()
        let bridges: [ScriptedBridge] = [
            ScriptedBridge { channel in
                _ = consume channel
                return nil
            },
            ScriptedBridge { channel in
                _ = try? channel.receive()
                return nil
            },
            ScriptedBridge { channel in
                _ = try? channel.receive()
                try? channel.send(.init(.question, []))
                return nil
            },
            ScriptedBridge { channel in
                try? channel.send(.init(.deny, Array("no\n".utf8)))
                return nil
            },
            // Says one thing to the hook and another to us: git goes on, we do not.
            ScriptedBridge { channel in
                _ = try? channel.receive()
                try? channel.send(.init(.allow, []))
                return nil
            },
            ScriptedBridge { channel in
                _ = try? channel.receive()
                try? channel.send(.init(.allow, []))
                return []
            },
        ]
        for bridge in bridges {
            try expectNothing(bench) {
                try bench.receive(bench.onePush(), answering: .other(bridge))
            }
        }
    }

    @Test func allowOfOtherUpdatesIsRefused() throws {
        let bench = try Bench()
        let push = try bench.onePush()
        let commit = try #require(ObjectID(Array(push.commands[0].new.utf8)))
        let zero = ObjectID.zero(.sha1)
        let other = try #require(RefName("refs/heads/other"))
        let main = try #require(RefName("refs/heads/main"))
        for update in [
            RefUpdate(name: other, old: zero, new: commit),
            RefUpdate(name: main, old: commit, new: commit),
            RefUpdate(name: main, old: zero, new: zero),
        ] {
            let bridge = ScriptedBridge { channel in
                _ = try? channel.receive()
                try? channel.send(.init(.allow, []))
                return [update]
            }
            try expectNothing(bench) { try bench.receive(push, answering: .other(bridge)) }
        }
    }

    @Test func skippedHookLetsNothingThrough() throws {
        let bench = try Bench()
        let scratch = try TemporaryDirectory()
        let plain = scratch.path + "/hook"
        try Files.write(try Files.read(try Bench.hook, limit: 1 << 28), to: plain, mode: 0o600)
        let empty = scratch.path + "/empty"
        try Files.write([], to: empty, mode: 0o700)
        for hook in [
            plain, scratch.path + "/missing", "/dev/null", scratch.path, empty, "/bin/true",
        ] {
            try expectNothing(bench) { try bench.receive(bench.onePush(), hook: hook) }
        }
        try expectNothing(bench) { try bench.receive(bench.onePush(), hook: "/bin/false") }
    }

    @Test func hostileConfigurationCannotMoveTheHooks() throws {
        let bench = try Bench()
        let push = try bench.onePush()
        let rewrite = { (target: borrowing WriteWorkspace) in
            let path = target.path + "/config"
            let lines = """
                [core]
                \thooksPath = /nonexistent
                [receive]
                \tunpackLimit = 1000
                [transfer]
                \tunpackLimit = 1000
                [gc]
                \tauto = 1

                """
            try Files.write(try Files.read(path) + Array(lines.utf8), to: path)
        }
        let reception = try bench.receive(push, prepare: rewrite)
        #expect(try bench.settle(reception, to: bench.store).isPublished)
        #expect(try bench.check().contains(push.commands[0].new))
    }

    @Test func truncatedBodyIsNotReceived() throws {
        let bench = try Bench()
        let push = try bench.onePush()
        for count in [0, 1, 11, 12, push.pack.count / 2, push.pack.count - 1] {
            let part = Array(push.pack.prefix(count))
            try expectNothing(bench) { try bench.receive(push, body: MemoryStream(part)) }
            try expectNothing(bench) { try bench.receive(push, body: MemoryStream(part, .cut)) }
        }
        // Whole for git, but not for the one who knows the length.
        try expectNothing(bench) { try bench.receive(push, body: MemoryStream(push.pack, .cut)) }
    }

    @Test func deletionInATruncatedBodyIsNotReceived() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        try bench.push(bench.onePush(to: "refs/heads/other"))
        let other = try #require(
            try bench.published().manifest.refs.first { $0.key.description.hasSuffix("other") })
        let push = PushRequest(commands: [(other.value.hex, bench.zero, "refs/heads/other")])
        try expectNothing(bench) { try bench.receive(push, body: MemoryStream([], .cut)) }
        #expect(try bench.push(push).isPublished)
    }

    @Test func packWithAFlippedByteIsNotReceived() throws {
        let bench = try Bench()
        let push = try bench.onePush()
        for offset in stride(from: 0, to: push.pack.count, by: 17) {
            var pack = push.pack
            pack[offset] ^= 0x10
            try expectNothing(bench) { try bench.receive(push, body: MemoryStream(pack)) }
        }
    }

    @Test func badObjectsAreNotReceived() throws {
        let bench = try Bench()
        // The second commit alone, its parent left out.
        let first = try bench.source.commit("first")
        let second = try bench.source.commit("second", parent: first)
        let open = PushRequest(
            commands: [(bench.zero, second, "refs/heads/main")],
            pack: try bench.source.pack([second], without: [first]))
        try expectNothing(bench) { try bench.receive(open) }

        // A tree with an entry named `.git`.
        let blob = try bench.source.run(["hash-object", "-w", "--stdin"]).line
        let raw = Array("100644 .git\0".utf8) + Self.raw(blob)
        let tree = try bench.source.run(
            ["hash-object", "-w", "-t", "tree", "--literally", "--stdin"], input: raw
        ).line
        let evil = try bench.source.run(["commit-tree", tree, "-m", "x"]).line
        let push = PushRequest(
            commands: [(bench.zero, evil, "refs/heads/main")],
            pack: try bench.source.pack([evil]))
        try expectNothing(bench) { try bench.receive(push) }
    }

    private static func raw(_ hex: String) -> [UInt8] {
        stride(from: 0, to: hex.utf8.count, by: 2).compactMap { offset in
            UInt8(hex.dropFirst(offset).prefix(2), radix: 16)
        }
    }

    @Test func shallowPushIsRefused() throws {
        let bench = try Bench()
        let first = try bench.source.commit("first")
        let second = try bench.source.commit("second", parent: first)
        let push = PushRequest(
            commands: [(bench.zero, second, "refs/heads/main")], shallow: [second],
            pack: try bench.source.pack([second], without: [first]))
        try expectNothing(bench) { try bench.receive(push) }
    }

    @Test func changedWorkspaceProvesNothing() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let push = try bench.onePush()
        let old = push.commands[0].old
        let changes: [(borrowing WriteWorkspace) throws -> Void] = [
            { try Files.write(Array("\(old)\n".utf8), to: $0.path + "/shallow") },
            { try Files.write(Array("ref: refs/heads/x\n".utf8), to: $0.path + "/HEAD") },
            { try Files.makeDirectories($0.path + "/objects/aa") },
        ]
        for change in changes {
            try expectNothing(bench) { try bench.receive(push, prepare: change) }
        }
        #expect(try bench.push(push).isPublished)
    }

    @Test func staleOldValueIsGitsRefusal() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        var push = try bench.onePush()
        push.commands[0].old = bench.zero
        try expectNothing(bench) { try bench.receive(push) }
        push.commands[0].old = try bench.source.commit("elsewhere")
        try expectNothing(bench) { try bench.receive(push) }
    }

    @Test func slowGitIsEndedAndLeavesNothing() throws {
        let bench = try Bench()
        let bridge = ScriptedBridge { channel in
            _ = try? channel.receive()
            // Waits for the hook's end, which comes only when git is ended.
            _ = try? channel.receive()
            return nil
        }
        let start = ContinuousClock.now
        try expectNothing(bench) {
            try bench.receive(
                bench.onePush(), answering: .other(bridge), deadline: .milliseconds(400))
        }
        #expect(ContinuousClock.now - start < .seconds(20))
    }

    @Test func undeliverableProgressEndsThePush() throws {
        let bench = try Bench()
        struct Broken: Error {}
        let before = try bench.published().digest
        let push = try bench.onePush()
        var request = push.request[...]
        let reader = PktLineReader { count in
            defer { request = request.dropFirst(count) }
            return Array(request.prefix(count))
        }
        let commands = try PushCommands.read(from: reader)
        let workspace = try bench.hydration().writeWorkspace(
            on: .published(try bench.published()), log: Bench.log, limits: .none)
        let bridge = ScriptedBridge { channel in
            _ = try? channel.receive()
            try? channel.send(.init(.allow, Array("hello\n".utf8)))
            return commands.commands.compactMap(\.update)
        }
        do {
            _ = try ReceivedPush.receive(
                commands, body: MemoryStream(push.pack), in: workspace, git: bench.git,
                client: .init(user: "", address: "", protocolVersion: ""), bridge: bridge,
                limits: .until(.now + .seconds(60))
            ) { _ in throw Broken() }
            Issue.record("received")
        } catch is Broken {
        }
        #expect(try bench.published().digest == before)
        #expect(try bench.leftovers().isEmpty)
    }
}
