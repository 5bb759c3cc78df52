import Glibc
import Posix
import TestSupport
import Testing

/// What the tests' own servers rely on.
@Suite("A supervised process") struct SupervisionTests {
    /// Starts a shell with a child, in a directory of its own.
    private func start(_ script: String, in directory: ScratchDirectory) throws
        -> SupervisedProcess
    {
        try SupervisedProcess(
            path: "/bin/sh", arguments: ["-c", script], environment: ["PATH=/usr/bin:/bin"],
            directory: directory.path, logPath: directory.path + "/log")
    }

    /// Waits for a line in the log.
    private func line(of process: SupervisedProcess) throws -> String {
        let deadline = ContinuousClock.now + .seconds(10)
        while ContinuousClock.now < deadline {
            let lines = process.logTail.split(separator: "\n", omittingEmptySubsequences: false)
            if lines.count > 1 { return String(lines[0]) }
            usleep(5_000)
        }
        throw SystemError("read", process.logPath, code: ETIMEDOUT)
    }

    @Test func endsWithItsWholeGroup() throws {
        let directory = try ScratchDirectory()
        let process = try start("sleep 1000 & echo $!; wait", in: directory)
        let grandchild = try #require(pid_t(try line(of: process)))
        let group = try #require(process.identifier)
        #expect(process.isRunning)
        #expect(kill(grandchild, 0) == 0)
        process.stop()
        #expect(!process.isRunning)
        #expect(kill(-group, 0) != 0 || isGone(group: group))
        process.stop()
    }

    @Test func itsOwnEndIsNoticed() throws {
        let directory = try ScratchDirectory()
        let process = try start("echo over; exit 3", in: directory)
        #expect(try line(of: process) == "over")
        let deadline = ContinuousClock.now + .seconds(10)
        while process.isRunning, ContinuousClock.now < deadline { usleep(5_000) }
        #expect(!process.isRunning)
    }

    @Test func freePortsDiffer() throws {
        let ports = try SupervisedProcess.freePorts(20)
        #expect(Set(ports).count == 20)
    }

    /// Killed processes stay until their new parent has waited for them.
    private func isGone(group: pid_t) -> Bool {
        let deadline = ContinuousClock.now + .seconds(10)
        while ContinuousClock.now < deadline {
            if kill(-group, 0) != 0 { return true }
            usleep(5_000)
        }
        return false
    }
}
