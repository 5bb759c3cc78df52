import GitProtocol
import Glibc
import ObjectStore
import Posix
import Synchronization
import TestBench
import TestSupport
import Testing

@testable import Git
@testable import Hydration
@testable import Repository

/// Running git.
@Suite struct GitRunTests {
    private static func soon() -> GitLimits { .until(.now + .milliseconds(400)) }

    private func expectTimeout(
        in command: String, after first: String = "",
        sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (GitProgram) throws -> Void
    ) throws {
        let hanging = try HangingGit(in: command, after: first)
        let git = try #require(
            GitProgram(searching: hanging.searchPath), sourceLocation: sourceLocation)
        do {
            try body(git)
            Issue.record("did not time out", sourceLocation: sourceLocation)
        } catch GitError.timedOut {
        }
        try hanging.waitForEnd()
    }

    @Test func gitThatHangsInForEachRefEndsByTheDeadline() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let workspace = try bench.hydration().readWorkspace(
            bench.published(), log: Bench.log, limits: .none)
        for first in ["", "exec >&- 2>&-"] {
            try expectTimeout(in: "for-each-ref", after: first) { git in
                _ = try WorkspaceRefs.read(
                    from: workspace.workspace, git: git, limits: Self.soon())
            }
        }
    }

    @Test func gitThatHangsInIndexPackEndsByTheDeadline() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        for pack in try bench.published().manifest.packs {
            bench.memory.plant(nil, at: .packIndex(pack))
        }
        try expectTimeout(in: "index-pack") { git in
            let hydration = Hydration(
                store: bench.memory, state: bench.state, git: git, hook: try Bench.hook)
            _ = try hydration.readWorkspace(
                bench.published(), log: Bench.log, limits: Self.soon())
        }
    }

    @Test func gitThatHangsInLearningEndsByTheDeadline() throws {
        let bench = try Bench()
        try expectTimeout(in: "upload-pack") { git in
            _ = try LearnedCapabilities(git: git, state: bench.state)
                .advertisementWithoutRefs(of: .uploadPack, .v2, .sha1, limits: Self.soon())
        }
    }

    @Test func cancellationEndsGitsProcessGroup() throws {
        let bench = try Bench()
        let hanging = try HangingGit(in: "count-objects")
        let git = try #require(GitProgram(searching: hanging.searchPath))
        let cancellation = Cancellation()
        let canceling = Background<Void> {
            try? wait(for: "git") { hanging.hasHung }
            cancellation.cancel()
        }
        let workspace = try Workspace.scratch(.sha1, in: bench.state)
        #expect(throws: Cancellation.Cancelled.self) {
            _ = try git.output(
                GitRun(
                    ["count-objects", "-v"], to: "count",
                    limits: .cancellable(by: cancellation)), in: workspace)
        }
        try canceling.value()
        try hanging.waitForEnd()
    }

    @Test func eachRunReturnsItsOwnLastWords() throws {
        let bench = try Bench()
        let workspace = try Workspace.scratch(.sha1, in: bench.state)
        func run(_ arguments: String..., errors: GitRun.Errors = .kept) throws -> GitEnding {
            try bench.git.output(
                GitRun(arguments, to: "test", limits: .none, errors: errors), in: workspace
            ).ending
        }
        let first = try run("rev-parse", "--verify", "refs/heads/one")
        #expect(first.words.text == "fatal: Needed a single revision")
        #expect(try run("rev-parse", "--git-dir").words.isEmpty)
        let again = try run("cat-file", "-t", "two", errors: .progress(.none, title: "t"))
        #expect(again.words.text == "fatal: Not a valid object name two")
        #expect(throws: GitError.self) { try again.require() }
        #expect(try run("rev-parse", "--git-dir").words.isEmpty)
    }
}
