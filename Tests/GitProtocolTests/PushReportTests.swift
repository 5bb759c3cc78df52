import Testing

@testable import GitProtocol

/// A push's report.
@Suite struct PushReportTests {
    private func report(_ lines: String...) -> [UInt8] {
        var bytes: [UInt8] = []
        for line in lines { PktLine.append(Array(line.utf8), to: &bytes) }
        return bytes + PktLine.flushBytes
    }

    @Test func gitsReportIsRead() throws {
        let bytes = report(
            "unpack ok\n", "ok refs/heads/main\n", "option refname refs/heads/x\n",
            "option old-oid \(PushRequest.zero)\n", "option forced-update\n",
            "ng refs/heads/é non-fast-forward; try again\n", "ng refs/heads/b\n")
        let read = try PushReport(parsing: bytes)
        #expect(read.bytes == bytes)
        #expect(read.unpackError == nil)
        #expect(read.accepted == [Array("refs/heads/main".utf8)])
        #expect(
            read.rejected.map(\.rawName) == ["refs/heads/é", "refs/heads/b"].map { Array($0.utf8) })
        #expect(read.rejected.first?.reason == Array("non-fast-forward; try again".utf8))
    }

    @Test func unpackErrorKeepsItsText() throws {
        let read = try PushReport(parsing: report("unpack index-pack abnormal exit\n"))
        #expect(read.unpackError == "index-pack abnormal exit")
    }

    @Test func writtenReportIsReadBack() throws {
        let built = PushReport(
            unpackError: nil,
            rejected: [
                .init(rawName: Array("refs/heads/a".utf8), reason: "no"),
                .init(
                    rawName: Array("refs/heads/e\u{301}".utf8), reason: "another push came first"),
            ])
        let read = try PushReport(parsing: built.bytes)
        #expect(read.rejected == built.rejected)
        #expect(read.accepted.isEmpty && read.unpackError == nil)
        let failed = try PushReport(parsing: PushReport(unpackError: "no disk", rejected: []).bytes)
        #expect(failed.unpackError == "no disk")
    }

    @Test func laterRefusalsReplaceOkAndKeepTheRest() throws {
        let read = try PushReport(
            parsing: report(
                "unpack ok\n", "ok refs/heads/a\n", "option forced-update\n", "ok refs/heads/b\n",
                "option old-oid \(PushRequest.zero)\n", "ng refs/heads/c no\n"))
        let rejections = ["refs/heads/a", "refs/heads/c", "refs/heads/d"].map {
            PushReport.Rejection(rawName: Array($0.utf8), reason: "moved")
        }
        #expect(
            read.rejecting(rejections).bytes
                == report(
                    "unpack ok\n", "ng refs/heads/a moved\n", "ok refs/heads/b\n",
                    "option old-oid \(PushRequest.zero)\n", "ng refs/heads/c moved\n",
                    "ng refs/heads/d moved\n"))
        #expect(read.rejecting(rejections).accepted == [Array("refs/heads/b".utf8)])
        #expect(read.rejecting([]) == read)
    }

    @Test func malformedReportIsRefused() throws {
        let whole = report("unpack ok\n", "ok refs/heads/a\n")
        for count in 0..<whole.count {
            #expect(throws: ProtocolError.self, "\(count)") {
                try PushReport(parsing: Array(whole.prefix(count)))
            }
        }
        let bad: [[UInt8]] = [
            report("ok refs/heads/a\n"), report("unpack ok\n", "yes refs/heads/a\n"),
            report("unpack ok\n", "ng \n"), report("unpack ok\n", "unpack ok\n"),
            report("unpack ok\n") + [0], report("unpack ok\n") + report("unpack ok\n"),
            Array("0000".utf8), report("unpackok\n"), Array("0001".utf8),
            report("unpack ok\n").dropLast(4) + Array("0001".utf8),
        ]
        for bytes in bad {
            #expect(throws: ProtocolError.self) { try PushReport(parsing: bytes) }
        }
    }

    @Test func reportIsSentInTheFormThatTheClientReads() throws {
        let built = PushReport(unpackError: nil, rejected: [.init(rawName: [0x61], reason: "b")])
        func body(_ report: PushReporting.Report, _ band: PushReporting.SideBand) -> [UInt8] {
            built.body(for: PushReporting(report: report, sideBand: band))
        }
        #expect(body(.unwanted, .none).isEmpty)
        #expect(body(.unwanted, .sideBand64k) == PktLine.flushBytes)
        #expect(body(.wanted, .none) == built.bytes)
        var splitter = BandSplitter()
        var data: [UInt8] = []
        try body(.wanted, .sideBand64k).withUnsafeBytes { part in
            try splitter.split(part) { band, bytes in
                #expect(band == .data)
                data += bytes
            }
        }
        #expect(splitter.hasEnded)
        #expect(data == built.bytes)
    }

    @Test func longReportIsSplitIntoPackets() throws {
        let built = PushReport(
            unpackError: nil,
            rejected: (0..<5000).map {
                .init(rawName: Array("refs/heads/branch-\($0)".utf8), reason: "no")
            })
        var splitter = BandSplitter()
        var data: [UInt8] = []
        let body = built.body(for: PushReporting(report: .wanted, sideBand: .sideBand64k))
        try body.withUnsafeBytes { part in
            try splitter.split(part) {
                data += Array($1); _ = $0
            }
        }
        #expect(try PushReport(parsing: data).rejected.count == 5000)
    }
}
