@testable import GitProtocol
import Testing

/// git reads a list of its own way: words between white space up to a zero byte, with or without a
/// value. Reading it otherwise would be to expect another answer than git gives.
@Suite("A push's capabilities")
struct PushCapabilitiesTests {
    @Test(
        "are parted by white space of any kind", arguments: [" ", "  ", "\t", "\n", "\r", " \t "])
    func whiteSpace(space: String) {
        let list = PushCapabilities("report-status\(space)side-band-64k\(space)".utf8)
        #expect(list.reporting == PushReporting(report: .wanted, sideBand: .sideBand64k))
        #expect(list.bytes == Array("report-status side-band-64k".utf8))
    }

    @Test("end at a zero byte")
    func zeroByte() {
        let list = PushCapabilities("report-status\0 side-band-64k".utf8)
        #expect(list.reporting == PushReporting(report: .wanted, sideBand: .none))
        #expect(list.askingForReport.bytes == Array("report-status".utf8))
        #expect(
            PushCapabilities("quiet\0".utf8).askingForReport.bytes
                == Array("quiet report-status".utf8))
    }

    @Test("count with a value, too, as git counts them")
    func values() {
        let list = PushCapabilities("side-band-64k=x report-status=1".utf8)
        #expect(list.reporting == PushReporting(report: .wanted, sideBand: .sideBand64k))
    }

    @Test("are whole words")
    func wholeWords() {
        let list = PushCapabilities("xreport-status report-statusx no-side-band-64k".utf8)
        #expect(list.reporting == PushReporting(report: .unwanted, sideBand: .none))
        #expect(PushCapabilities("report-status-v2".utf8).has("report-status") == false)
    }
}
