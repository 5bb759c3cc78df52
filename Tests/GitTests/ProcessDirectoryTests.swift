import Glibc
import Posix
import TestSupport
import Testing

@testable import Git

/// The directory of a process.
@Suite struct ProcessDirectoryTests {
    private func processes(_ path: String) throws -> [String] {
        try Files.names(in: path + "/workspaces").sorted()
    }

    /// Sets the times of a directory and all that is in it to long ago.
    private func age(_ path: String, to seconds: Int = 1) {
        for name in (try? Files.names(in: path)) ?? [] { age(path + "/" + name, to: seconds) }
        let then = timespec(tv_sec: seconds, tv_nsec: 0)
        utimensat(AT_FDCWD, path, [then, then], AT_SYMLINK_NOFOLLOW)
    }

    // D1
    @Test func otherStartsLeaveADirectoryWithoutFilesAlone() throws {
        let scratch = try TemporaryDirectory()
        let state = try StateDirectory(path: scratch.path)
        let workspace = try state.makeWorkspaceDirectory()
        Files.removeTree(workspace.home.path + "/lock")
        age(scratch.path)
        do { _ = try StateDirectory(path: scratch.path) }
        #expect(access(workspace.path, F_OK) == 0)
        #expect(try processes(scratch.path).count == 1)
        #expect(try state.makeWorkspaceDirectory().home === workspace.home)
    }

    // D1
    @Test func startingDirectoryIsLockedUnderItsFirstName() throws {
        let scratch = try TemporaryDirectory()
        let starting = scratch.path + "/workspaces/new-slow"
        try Files.makeDirectories(starting)
        let held = try OwnedDescriptor.open(starting, O_RDONLY | O_DIRECTORY)
        #expect(try Files.lock(held.raw, waiting: .never, starting))
        age(starting)
        do { _ = try StateDirectory(path: scratch.path) }
        #expect(access(starting, F_OK) == 0)
        try held.close()
        do { _ = try StateDirectory(path: scratch.path) }
        #expect(access(starting, F_OK) != 0)
    }

    // D1
    @Test func directoryOfAnEarlierVersionStaysWhileItIsLocked() throws {
        let scratch = try TemporaryDirectory()
        let held = scratch.path + "/workspaces/live-held"
        let lost = scratch.path + "/workspaces/live-lost"
        for path in [held, lost] { try Files.makeDirectories(path + "/w") }
        let lock = try OwnedDescriptor.open(held + "/lock", O_RDWR | O_CREAT)
        #expect(try Files.lock(lock.raw, waiting: .never, held))
        age(held)
        do { _ = try StateDirectory(path: scratch.path) }
        #expect(try processes(scratch.path) == ["live-held", "live-lost"])
        age(lost, to: time(nil) - 8 * 86_400)
        try lock.close()
        do { _ = try StateDirectory(path: scratch.path) }
        #expect(try processes(scratch.path).isEmpty)
    }

    // D1: an earlier version looks at the lock of the file alone.
    @Test func earlierVersionsFindALockedFile() throws {
        let scratch = try TemporaryDirectory()
        let state = try StateDirectory(path: scratch.path)
        let home = try state.makeWorkspaceDirectory().home
        #expect(home.path.hasPrefix(scratch.path + "/workspaces/live-"))
        let lock = try OwnedDescriptor.open(home.path + "/lock", O_RDWR)
        #expect(try !Files.lock(lock.raw, waiting: .never, home.path))
    }

    // D2
    @Test(arguments: ["", "/workspaces"])
    func missingDirectoryIsCreatedAgain(part: String) throws {
        let scratch = try TemporaryDirectory()
        let path = scratch.path + "/state"
        let state = try StateDirectory(path: path)
        let lost = try state.makeWorkspaceDirectory()
        Files.removeTree(path + part)
        let workspace = try state.makeWorkspaceDirectory()
        #expect(workspace.home !== lost.home)
        // It is locked as the first one was.
        do { _ = try StateDirectory(path: path) }
        #expect(access(workspace.path, F_OK) == 0)
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o700)
    }

    // D2
    @Test func replacedDirectoryIsNeitherUsedNorRemoved() throws {
        let scratch = try TemporaryDirectory()
        let state = try StateDirectory(path: scratch.path)
        let first = try state.makeWorkspaceDirectory()
        #expect(rename(first.home.path, scratch.path + "/moved") == 0)
        try Files.makeDirectories(first.home.path + "/other")
        let second = try state.makeWorkspaceDirectory()
        #expect(second.home !== first.home)
        state.remove()
        #expect(access(first.home.path + "/other", F_OK) == 0)
        #expect(access(scratch.path + "/moved", F_OK) == 0)
    }

    // P2
    @Test func directoryInUseIsNotRemoved() throws {
        let scratch = try TemporaryDirectory()
        let state = try StateDirectory(path: scratch.path)
        var workspace: StateDirectory.WorkspaceDirectory? = try state.makeWorkspaceDirectory()
        let path = try #require(workspace?.path)
        #expect(!state.remove())
        #expect(access(path, F_OK) == 0)
        #expect(throws: SystemError.self) { _ = try state.makeWorkspaceDirectory() }
        workspace = nil
        #expect(access(path, F_OK) != 0)
        #expect(try processes(scratch.path).isEmpty)
        #expect(state.remove())
    }

    // D2, D5
    @Test func directoryIsNotCreatedWhereOthersCanWrite() throws {
        let scratch = try TemporaryDirectory()
        let state = try StateDirectory(path: scratch.path)
        chmod(scratch.path, 0o777)
        #expect(throws: SystemError.self) { _ = try state.makeWorkspaceDirectory() }
        chmod(scratch.path, 0o700)
        _ = try state.makeWorkspaceDirectory()
        // One that was shared when the process started is taken as it is.
        chmod(scratch.path, 0o777)
        _ = try StateDirectory(path: scratch.path).makeWorkspaceDirectory()
    }

    // D2
    @Test func manyThreadsHaveADirectoryWhileOthersClearAndStart() throws {
        let scratch = try TemporaryDirectory()
        let path = scratch.path + "/state"
        let state = try StateDirectory(path: path)
        _ = try concurrently(8) { number in
            for _ in 0..<50 {
                switch number {
                case 0: Files.removeTree(path + "/workspaces")
                case 1: _ = try? StateDirectory(path: path)
                default:
                    let workspace = try state.makeWorkspaceDirectory()
                    // A missing directory was cleared, and never swept: no other one has its name.
                    #expect(workspace.path.hasPrefix(workspace.home.path + "/"))
                }
            }
        }
        let workspace = try state.makeWorkspaceDirectory()
        do { _ = try StateDirectory(path: path) }
        #expect(access(workspace.path, F_OK) == 0)
    }
}
