import TestSupport
import Testing

@testable import Gateway

/// The time limits for a client that sends nothing.
@Suite struct BodyPatienceTests {
    // C5
    @Test func timeLimitsMatchTheShippedConfigurations() throws {
        #expect(BodyPatience.request.duration == .seconds(60))
        #expect(BodyPatience.push.duration == .seconds(300))
        let nginx = try Documentation.file("nginx/git-s3-backend.conf")
        #expect(nginx.contains("    client_body_timeout 60s;"))
        #expect(nginx.contains("        client_body_timeout 5m;"))
        // Apache has one time limit for a virtual host.
        let apache = try Documentation.file("apache/git-s3-backend-access.conf")
        #expect(apache.contains("\nTimeout 300\n"))
        #expect(apache.contains("RequestReadTimeout body=300,"))
        let lighttpd = try Documentation.block("# lighttpd", of: "WebServers")
        #expect(lighttpd.contains("server.max-read-idle = 60\n"))
        #expect(lighttpd.contains("server.max-read-idle = 300\n"))
    }
}
