import Glibc
import Posix
import TestSupport
import Testing

/// The supervision of the servers that tests start.
@Suite struct SupervisionTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func start(_ script: String) throws -> Service {
        try Service(
            "/bin/sh", ["-c", script], environment: ["PATH": "/usr/bin:/bin"],
            log: directory.path + "/log")
    }

    /// Waits for a line of the log.
    private func line(of service: Service) throws -> String {
        try wait(for: "a line in the log") { service.log.contains("\n") }
        return String(service.log.prefix { $0 != "\n" })
    }

    /// Killed processes exist until their new parent has waited for them.
    private func isGone(_ process: pid_t) -> Bool { kill(process, 0) != 0 }

    @Test func stoppingAServiceKillsItsWholeGroup() throws {
        let service = try start("sleep 1000 & echo $!; wait")
        let grandchild = try #require(pid_t(try line(of: service)))
        #expect(!service.hasEnded)
        #expect(kill(grandchild, 0) == 0)
        service.stop()
        #expect(service.hasEnded)
        try wait(for: "the end of the group") { isGone(-service.identifier) }
        service.stop()
    }

    @Test func endOfAServiceIsNoticed() throws {
        let service = try start("echo over; exit 3")
        #expect(try line(of: service) == "over")
        #expect(try service.waitForEnd() == .exited(3))
    }

    @Test func readyWaitShowsTheLogOfAServiceThatEnds() throws {
        let service = try start("echo broken configuration; exit 1")
        let error = #expect(throws: TestFailure.self) { try service.waitUntilReady { false } }
        #expect(error?.description.contains("broken configuration") == true)
    }

    @Test func serviceThatLosesItsPortIsStartedOnAnotherOne() throws {
        var tried: [UInt16] = []
        let started = try Service.start { ports in
            tried += ports
            let script = tried.count == 1 ? "echo Address already in use; exit 1" : "sleep 1000"
            return try Service(
                "/bin/sh", ["-c", script], environment: ["PATH": "/usr/bin:/bin"],
                log: directory.path + "/log-\(tried.count)")
        } isReady: { _ in
            tried.count == 2
        }
        #expect(tried.count == 2)
        #expect(started.ports == [tried[1]])
    }

    @Test func freePortsDiffer() throws {
        #expect(Set(try Sockets.freePorts(20)).count == 20)
    }

    /// A test process that is killed runs no `deinit` and no `atexit`. Here another process with
    /// its own janitor stands in for it.
    @Test func killedTestProcessLeavesNothing() throws {
        let process = try Command(Programs.buildDirectory() + "/FileStoreRacer", ["supervise"])
            .start()
        try wait(for: "the line of the process") { process.output.last == UInt8(ascii: "\n") }
        let words = String(decoding: process.output, as: UTF8.self).split(
            whereSeparator: \.isWhitespace)
        let group = try #require(pid_t(words[0]))
        #expect(kill(-group, 0) == 0)
        #expect(access(String(words[1]), F_OK) == 0 && access(String(words[2]), F_OK) == 0)
        kill(process.identifier, SIGKILL)
        try wait(for: "the end of its service") { isGone(-group) }
        try wait(for: "the removal of its directories") {
            access(String(words[1]), F_OK) != 0 && access(String(words[2]), F_OK) != 0
        }
        #expect(try process.finish().ending == .signalled(SIGKILL))
    }
}
