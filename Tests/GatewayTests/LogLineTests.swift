import Logging
import Synchronization
import Testing

@testable import Gateway

/// A line of the log.
@Suite struct LogLineTests {
    private func line(
        _ fields: [(key: String, value: String)], message: String = "push published"
    ) -> String {
        String(
            decoding: LogLine(
                time: "2026-01-01T00:00:00+0000", level: "info", label: "git-s3-backend",
                fields: fields, source: "Gateway", message: message
            ).bytes, as: UTF8.self)
    }

    @Test func lineHasTimeLevelProgramSortedKeysSourceAndMessage() {
        #expect(
            line([("repo.name", "a/b"), ("error", "no \"way\""), ("push.user", "")])
                == "2026-01-01T00:00:00+0000 info git-s3-backend: error=\"no \\\"way\\\"\" "
                + "push.user=\"\" repo.name=a/b [Gateway] push published\n")
        #expect(
            line([]) == "2026-01-01T00:00:00+0000 info git-s3-backend: [Gateway] push published\n")
    }

    @Test func nothingForgesALineOrAField() {
        let evil = "x\r\n2026-01-01T00:00:00+0000 info git-s3-backend: push.user=bob [Gateway] y"
        for text in [line([("a", evil)]), line([(evil, "b")]), line([("a", "b")], message: evil)] {
            #expect(text.utf8.dropLast().allSatisfy { (0x20...0x7e).contains($0) }, "\(text)")
            #expect(text.last == "\n")
            #expect(!text.contains("\n2026"))
        }
        #expect(line([("a b=c\n", "1")]).contains(" a_b_c_=1 "))
    }

    @Test func lineIsOneWriteWhateverItsLength() {
        for count in [1, 3, 10, 40] {
            let fields = (0..<count).map {
                (key: "key.\($0)", value: String(repeating: "\u{1b}", count: 5000))
            }
            let text = line(fields)
            #expect(text.utf8.count <= LogLine.wholeSize, "\(count)")
            for number in 0..<count { #expect(text.contains(" key.\(number)=\"\\x1b")) }
            #expect(text.hasSuffix("] push published\n"))
        }
    }

    @Test func handlerMergesMetadataAndObeysTheLevel() {
        var log = Logger(label: "git-s3-backend") { label in
            LineLogHandler(label: label) { line in Self.written.withLock { $0.append(line) } }
        }
        log[metadataKey: "request.id"] = "1"
        log.debug("nothing")
        log.warning("request failed", metadata: ["error": "a\nb"])
        let written = Self.written.withLock { $0.map { String(decoding: $0, as: UTF8.self) } }
        #expect(written.count == 1)
        #expect(
            written[0].hasSuffix(
                " warning git-s3-backend: error=\"a\\nb\" request.id=1 [GatewayTests] request failed\n"
            ), "\(written)")
        #expect(
            written[0].prefixMatch(of: #/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} /#) != nil)
    }

    private static let written = Mutex<[[UInt8]]>([])

    @Test func limiterCountsSuppressedLines() {
        let limiter = LineLimiter(perSecond: 2)
        let start = ContinuousClock.now
        let answers = [0, 1, 2, 999, 1000, 1001, 1500, 5000].map {
            limiter.admit(at: start + .milliseconds($0))
        }
        #expect(answers == [0, 0, nil, nil, 2, 0, nil, 1])
    }
}
