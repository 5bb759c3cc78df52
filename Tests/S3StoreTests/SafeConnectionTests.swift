import Testing

@testable import S3Store

@Suite struct SafeConnectionTests {
    // S14
    @Test(arguments: [
        ("http://127.0.0.1:9000", false), ("http://127.8.0.1", false), ("http://[::1]:80", false),
        ("http://localhost:8333", false), ("http://LOCALHOST", false),
        ("http://s3.localhost", false), ("https://s3.example.org", false),
        ("http://s3.example.org", true), ("http://10.0.0.1:9000", true), ("http://[::2]", true),
        ("http://127.0.0.1.example.org", true), ("http://localhost.example.org", true),
        ("http://127.example.org", true),
    ])
    func plainHTTPIsExposedBeyondLoopback(_ endpoint: String, _ isExposed: Bool) throws {
        #expect(try Endpoint(endpoint, source: "test").isExposed == isExposed)
    }

    // S16
    @Test func instantsLongPastAndFarAheadAreWaitedForBriefly() {
        let now = ContinuousClock.now
        let days = Duration.seconds(24 * 60 * 60)
        #expect(Channel.milliseconds(until: now - days * 30) == 0)
        #expect(Channel.milliseconds(until: now - days * 36_500) == 0)
        #expect(Channel.milliseconds(until: now + days * 36_500) >= 1000)
        #expect(Channel.milliseconds(until: now + days * 36_500) <= 1001)
        #expect((1...500).contains(Channel.milliseconds(until: now + .milliseconds(500))))
        #expect(Channel.milliseconds(until: nil) == 1000)
    }
}
