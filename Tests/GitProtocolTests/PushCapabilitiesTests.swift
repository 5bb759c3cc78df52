import Testing

@testable import GitProtocol

/// git reads a list of its own way: words between white space up to a zero byte, with or without a
/// value. Reading it otherwise would be to expect another answer than git gives.
@Suite struct PushCapabilitiesTests {
    @Test(arguments: [" ", "  ", "\t", "\n", "\r", " \t "])
    func anyWhiteSpaceSeparatesThem(space: String) {
        let list = PushCapabilities("report-status\(space)side-band-64k\(space)".utf8)
        #expect(list.reporting == PushReporting(report: .wanted, sideBand: .sideBand64k))
        #expect(list.bytes == Array("report-status side-band-64k".utf8))
    }

    @Test func zeroByteEndsThem() {
        let list = PushCapabilities("report-status\0 side-band-64k".utf8)
        #expect(list.reporting == PushReporting(report: .wanted, sideBand: .none))
        #expect(list.askingForReport.bytes == Array("report-status".utf8))
        #expect(
            PushCapabilities("quiet\0".utf8).askingForReport.bytes
                == Array("quiet report-status".utf8))
    }

    @Test func capabilityWithAValueCounts() {
        let list = PushCapabilities("side-band-64k=x report-status=1".utf8)
        #expect(list.reporting == PushReporting(report: .wanted, sideBand: .sideBand64k))
    }

    @Test func onlyWholeWordsCount() {
        let list = PushCapabilities("xreport-status report-statusx no-side-band-64k".utf8)
        #expect(list.reporting == PushReporting(report: .unwanted, sideBand: .none))
        #expect(PushCapabilities("report-status-v2".utf8).has("report-status") == false)
    }
}
