@testable import Repository
@testable import Hydration
@testable import Git
import GitProtocol
import Glibc
import ObjectStore
import Posix
import Synchronization
import TestBench
import TestSupport
import Testing

/// Running git.
@Suite struct GitRunTests {
    private static func soon() -> GitLimits { .until(.now + .milliseconds(400)) }

    /// A git that, for a command, writes its process id to a file and hangs with a child.
    private struct HangingGit {
        let scratch: TemporaryDirectory
        let hydration: Hydration

        init(_ bench: Bench, in command: String, before: String = "") throws {
            let scratch = try TemporaryDirectory()
            self.scratch = scratch
            hydration = try bench.hydration(
                packingWith: "\(before) sleep 600 & echo $$ $! >'\(scratch.path)/pids'; wait",
                instead: command)
        }

        func expectEnded() throws {
            let text = String(decoding: try Files.read(scratch.path + "/pids"), as: UTF8.self)
            let pids = text.split(whereSeparator: \.isWhitespace).compactMap { pid_t($0) }
            #expect(pids.count == 2)
            try wait(for: "git and its child to end") { pids.allSatisfy { !Self.isRunning($0) } }
        }

        /// proc(5), stat: a zombie does not run.
        private static func isRunning(_ pid: pid_t) -> Bool {
            guard let stat = try? Files.read("/proc/\(pid)/stat") else { return false }
            return !String(decoding: stat, as: UTF8.self).contains(") Z ")
        }
    }

    private func expectTimeout(
        _ git: HangingGit, sourceLocation: SourceLocation = #_sourceLocation,
        _ body: () throws -> Void
    ) throws {
        let start = ContinuousClock.now
        do {
            try body()
            Issue.record("did not time out", sourceLocation: sourceLocation)
        } catch GitError.timedOut {
        }
        #expect(.now - start < .seconds(30), sourceLocation: sourceLocation)
        try git.expectEnded()
    }

    @Test func gitThatHangsInShowRefEndsByTheDeadline() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let workspace = try bench.hydration().readWorkspace(
            bench.published(), log: Bench.log, limits: .none)
        for before in ["", "exec >&- 2>&-;"] {
            let git = try HangingGit(bench, in: "for-each-ref", before: before)
            try expectTimeout(git) {
                _ = try WorkspaceRefs.read(
                    from: workspace.workspace, git: git.hydration.git, limits: Self.soon())
            }
        }
    }

    @Test func gitThatHangsInIndexPackEndsByTheDeadline() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        for pack in try bench.published().manifest.packs {
            bench.memory.plant(nil, at: .packIndex(pack))
        }
        let git = try HangingGit(bench, in: "index-pack")
        try expectTimeout(git) {
            _ = try git.hydration.readWorkspace(
                bench.published(), log: Bench.log, limits: Self.soon())
        }
    }

    @Test func gitThatHangsInLearningEndsByTheDeadline() throws {
        let bench = try Bench()
        let git = try HangingGit(bench, in: "upload-pack")
        try expectTimeout(git) {
            _ = try LearnedCapabilities(git: git.hydration.git, state: bench.state)
                .advertisementWithoutRefs(of: .uploadPack, .v2, .sha1, limits: Self.soon())
        }
    }

    @Test func cancellationEndsGitsProcessGroup() throws {
        let bench = try Bench()
        let git = try HangingGit(bench, in: "count-objects")
        let cancellation = Cancellation()
        let pids = git.scratch.path + "/pids"
        let canceling = Background<Void> {
            try? wait(for: "git") { ((try? Files.size(of: pids)) ?? nil) ?? 0 > 0 }
            cancellation.cancel()
        }
        let workspace = try Workspace.scratch(.sha1, in: bench.state)
        #expect(throws: Cancellation.Cancelled.self) {
            _ = try git.hydration.git.output(
                GitRun(
                    ["count-objects", "-v"], to: "count",
                    limits: .cancellable(by: cancellation)), in: workspace)
        }
        try canceling.value()
        try git.expectEnded()
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
