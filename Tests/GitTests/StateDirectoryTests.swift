import Glibc
import Posix
import TestBench
import TestSupport
import Testing

@testable import Git

/// The state directory.
@Suite struct StateDirectoryTests {
    private func processes(_ path: String) throws -> [String] {
        try Files.names(in: path + "/workspaces").sorted()
    }

    @Test func directoryOfALiveProcessIsLeftAloneAndGoesWithIt() throws {
        let scratch = try TemporaryDirectory()
        var first: StateDirectory? = try StateDirectory(path: scratch.path)
        let workspace = try #require(try first?.makeWorkspaceDirectory().path)
        let second = try StateDirectory(path: scratch.path)
        #expect(try processes(scratch.path).count == 2)
        #expect(access(workspace, F_OK) == 0)
        first = nil
        #expect(access(workspace, F_OK) != 0)
        #expect(try processes(scratch.path).count == 1)
        second.remove()
        #expect(try processes(scratch.path).isEmpty)
    }

    /// The lock of a process's directory: that of itself, or, of an earlier version, of a file in
    /// it.
    @Test(arguments: [("live-2-dead", ""), ("live-dead", "/lock")])
    func directoryOfAKilledProcessIsSwept(name: String, lock: String) throws {
        let scratch = try TemporaryDirectory()
        let directory = scratch.path + "/workspaces/" + name
        try Files.makeDirectories(directory + "/w/objects/pack")
        try Files.write([1], to: directory + "/w/objects/pack/p")
        if !lock.isEmpty { try Files.write([], to: directory + lock) }
        let holder = try LockHolder(of: directory + lock)

        do { _ = try StateDirectory(path: scratch.path) }
        #expect(access(directory + "/w/objects/pack/p", F_OK) == 0, "it lives")
        try holder.kill()
        do { _ = try StateDirectory(path: scratch.path) }
        #expect(try processes(scratch.path).isEmpty)
    }

    @Test func interruptedSweepIsFinishedAndAStartIsLeftAlone() throws {
        let scratch = try TemporaryDirectory()
        let cut = scratch.path + "/workspaces/live-2-cut"
        try Files.makeDirectories(cut + "/w")
        let starting = scratch.path + "/workspaces/new-starting"
        try Files.makeDirectories(starting)
        let stale = scratch.path + "/workspaces/new-stale"
        try Files.makeDirectories(stale)
        var times = [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 1, tv_nsec: 0)]
        #expect(utimensat(AT_FDCWD, stale, &times, 0) == 0)
        do { _ = try StateDirectory(path: scratch.path) }
        #expect(try processes(scratch.path) == ["new-starting"])
    }

    @Test func linksInAWorkspaceAreNotFollowed() throws {
        let scratch = try TemporaryDirectory()
        let precious = scratch.path + "/precious"
        try Files.makeDirectories(precious)
        try Files.write([1], to: precious + "/file")
        let dead = scratch.path + "/state/workspaces/live-2-dead"
        try Files.makeDirectories(dead)
        #expect(symlink(precious, dead + "/link") == 0)
        do { _ = try StateDirectory(path: scratch.path + "/state") }
        #expect(access(dead, F_OK) != 0)
        #expect(access(precious + "/file", F_OK) == 0)
    }

    @Test func manyStartsDoNotSweepEachOther() throws {
        let scratch = try TemporaryDirectory()
        let held = try concurrently(16) { _ in
            let state = try StateDirectory(path: scratch.path)
            let workspace = try state.makeWorkspaceDirectory().path
            return (state, workspace)
        }
        for (_, workspace) in held { #expect(access(workspace, F_OK) == 0) }
        #expect(try processes(scratch.path).count == 16)
    }
}
