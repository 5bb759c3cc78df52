import GitProtocol
import Glibc
import ObjectStore
import Posix
import TestSupport
import Testing

@testable import Gateway

/// The answer to a push.
@Suite struct PushAnswerTests {
    /// An answer on a connection of its own.
    private struct Fixture {
        let connection: FakeConnection
        let answer: PushAnswer

        init(
            _ capabilities: String = "report-status side-band-64k",
            keepAlive: Duration = .milliseconds(30),
            failing: @escaping @Sendable (Int) -> Bool = { _ in false }
        ) {
            connection = FakeConnection(failing: failing)
            answer = PushAnswer(
                Response(to: .with(["REQUEST_METHOD": "POST"]), on: connection),
                reporting: PushCapabilities(Array(capabilities.utf8)).reporting,
                keepAlive: keepAlive)
        }

        /// The packets of the answer so far, without empty keep-alives.
        func bands() throws -> (packets: [(Band, String)], hasEnded: Bool) {
            var splitter = BandSplitter()
            var packets: [(Band, String)] = []
            try connection.body.withUnsafeBytes { bytes in
                try splitter.split(bytes) { band, payload in
                    if !payload.isEmpty {
                        packets.append((band, String(decoding: payload, as: UTF8.self)))
                    }
                }
            }
            return (packets, splitter.hasEnded)
        }

        func waitForBegin() {
            for _ in 0..<500 where connection.output.isEmpty { usleep(10_000) }
        }
    }

    private static let line =
        "\(String(repeating: "0", count: 40)) \(String(repeating: "1", count: 40)) refs/heads/main"

    private func commands(_ capabilities: String = "") throws -> PushCommands {
        var bytes: [UInt8] = []
        PktLine.append(Array("\(Self.line)\0\(capabilities)".utf8), to: &bytes)
        var rest = (bytes + PktLine.flushBytes)[...]
        let reader = PktLineReader { count in
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        return try PushCommands.read(from: reader)
    }

    private func report(_ lines: String...) throws -> PushReport {
        var bytes: [UInt8] = []
        for line in lines { PktLine.append(Array("\(line)\n".utf8), to: &bytes) }
        return try PushReport(parsing: bytes + PktLine.flushBytes)
    }

    private func progress(_ fixture: Fixture, _ text: String) throws {
        try fixture.answer.progress(Array(text.utf8)[...])
    }

    @Test func nothingIsSentBeforeTheBodyIsIn() throws {
        let fixture = Fixture()
        try progress(fixture, "counting\n")
        usleep(200_000)
        #expect(fixture.connection.output.isEmpty)
        #expect(!fixture.answer.stop())
        #expect(fixture.connection.output.isEmpty)
    }

    @Test func keepAlivesPrecedeTheReport() throws {
        let fixture = Fixture()
        try progress(fixture, "one\n")
        try progress(fixture, "two\n")
        fixture.answer.arm()
        fixture.answer.arm()
        fixture.waitForBegin()
        try progress(fixture, "three\n")
        usleep(150_000)
        let early = try fixture.bands()
        #expect(fixture.connection.status == 200)
        #expect(early.packets.map(\.1) == ["one\n", "two\n", "three\n"])
        #expect(early.packets.allSatisfy { $0.0 == .progress } && !early.hasEnded)
        #expect(fixture.connection.writes > 4, "empty packets keep it alive")

        let report = try report("unpack ok", "ok refs/heads/main")
        try fixture.answer.finish(report)
        let done = try fixture.bands()
        #expect(done.hasEnded && done.packets.last?.0 == .data)
        #expect(done.packets.last?.1 == String(decoding: report.bytes, as: UTF8.self))
        let writes = fixture.connection.writes
        usleep(150_000)
        #expect(fixture.connection.writes == writes, "nothing after the end")
    }

    @Test func quickPushGetsProgressAndReportTogether() throws {
        let fixture = Fixture(keepAlive: .seconds(60))
        fixture.answer.arm()
        try progress(fixture, "one\n")
        let start = ContinuousClock.now
        try fixture.answer.finish(try report("unpack ok", "ok refs/heads/main"))
        #expect(ContinuousClock.now - start < .seconds(10))
        let done = try fixture.bands()
        #expect(done.packets.map(\.0) == [.progress, .data] && done.hasEnded)
    }

    @Test(arguments: [
        ("report-status", 30), ("", 30), ("report-status side-band-64k", 0),
    ])
    func clientsThatCannotHearKeepAlivesGetNone(capabilities: String, milliseconds: Int) throws {
        let fixture = Fixture(capabilities, keepAlive: .milliseconds(milliseconds))
        try progress(fixture, "one\n")
        fixture.answer.arm()
        usleep(150_000)
        #expect(fixture.connection.output.isEmpty)
        #expect(!fixture.answer.stop())
    }

    @Test func armingAfterTheEndStartsNothing() throws {
        let fixture = Fixture()
        try fixture.answer.finish(try report("unpack ok", "ok refs/heads/main"))
        let writes = fixture.connection.writes
        fixture.answer.arm()
        usleep(150_000)
        #expect(fixture.connection.writes == writes)
    }

    @Test func lateFailureIsReportedForEveryRef() throws {
        let fixture = Fixture()
        fixture.answer.arm()
        fixture.waitForBegin()
        #expect(fixture.answer.stop())
        try fixture.answer.finish(failing: try commands("report-status"), "The store is gone.")
        let done = try fixture.bands()
        let report = try PushReport(parsing: Array(done.packets.last?.1.utf8 ?? "".utf8))
        #expect(report.accepted.isEmpty)
        #expect(report.rejected.first?.reason == Array("The store is gone.".utf8))
        #expect(done.hasEnded)
    }

    @Test func lateFailureIsFatalWithoutAReport() throws {
        let fixture = Fixture("side-band-64k")
        fixture.answer.arm()
        fixture.waitForBegin()
        try fixture.answer.finish(failing: try commands(), "The store is gone.")
        let done = try fixture.bands()
        #expect(done.packets.map(\.0) == [.error])
        #expect(done.packets.first?.1 == "The store is gone.\n")
    }

    @Test(arguments: ["", "side-band-64k"])
    func refusalWithoutAReportIsNeverStatus200(capabilities: String) throws {
        for lines in [["unpack ok", "ng refs/heads/main no"], ["unpack failed"]] {
            let report = try lines.count == 2 ? report(lines[0], lines[1]) : report(lines[0])
            let fixture = Fixture(capabilities)
            #expect(throws: RequestError.self) { try fixture.answer.finish(unpublished: report) }
            #expect(fixture.connection.output.isEmpty, "another status can still be said")
        }
        let good = Fixture(capabilities)
        try good.answer.finish(try report("unpack ok", "ok refs/heads/main"))
        #expect(good.connection.status == 200)
    }

    @Test func lateRefusalIsFatalWithoutAReport() throws {
        let fixture = Fixture("side-band-64k")
        fixture.answer.arm()
        fixture.waitForBegin()
        try fixture.answer.finish(
            unpublished: try report("unpack ok", "ng refs/heads/main another came first"))
        #expect(try fixture.bands().packets.map(\.0) == [.error])
    }

    @Test func lastWordIsSentOnceEvenIfWritingFails() throws {
        for failing in 0..<4 {
            let fixture = Fixture(failing: { $0 == failing })
            let said = Result {
                try fixture.answer.finish(try report("unpack ok", "ok refs/heads/main"))
            }
            try fixture.answer.finish(failing: try commands("report-status"), "no")
            #expect(!fixture.connection.text.contains("ng refs/heads/main"), "\(failing)")
            if failing < 3 { #expect(throws: RequestError.self) { try said.get() } }
        }
    }
}
