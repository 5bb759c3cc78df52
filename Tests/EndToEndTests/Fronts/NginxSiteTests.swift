import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// The whole site that is shipped for nginx: one address cannot occupy all of it.
    @Suite(.tags(.front)) struct NginxSiteTests {
        private static let fetchType = (
            name: "Content-Type", value: "application/x-git-upload-pack-request"
        )

        // C6
        @Test func addressMayHave200RequestsAndNoneOfThemIsRefused() throws {
            let site = try Site(.file)
            let (repository, _) = try seeded(site)
            let nginx = try Nginx(
                before: .fastCGI(socket: site.instance.socket), isSite: true)
            let target = "/git/\(repository).git/info/refs?service=git-upload-pack"
            let statuses = try concurrently(190) { _ in
                try (0..<3).map { _ in try nginx.client.send("GET", target).status }
            }
            #expect(statuses.flatMap(\.self).allSatisfy { $0 == 200 }, "\(statuses)")
            // The requests arrived faster than the configured rate.
            #expect(nginx.log.contains("delaying request"))
            #expect(!nginx.log.contains("limiting"), "\(nginx.log.suffix(2000))")
        }

        // C6
        @Test func addressIsRefusedWhatExceeds200RequestsAtOnce() throws {
            let site = try Site(.file)
            let (repository, _) = try seeded(site)
            let nginx = try Nginx(
                before: .fastCGI(socket: site.instance.socket), isSite: true)
            func status() throws -> Int {
                try nginx.client.send(
                    "GET", "/git/\(repository).git/info/refs?service=git-upload-pack"
                ).status
            }
            // Bodies that never arrive wait in nginx, which occupies no worker of the instance.
            let waiting = try concurrently(200) { _ in
                try HTTPExchange(
                    port: nginx.port, "POST", "/git/no/such.git/git-upload-pack",
                    headers: [Self.fetchType, ("Content-Length", "100")])
            }
            try wait(for: "the address to be refused") { try status() == 429 }
            #expect(!site.instance.log.contains("no/such"))
            waiting[0].hangUp()
            try wait(for: "the address to be served again") { try status() == 200 }
            withExtendedLifetime(waiting) {}
        }
    }
}
