import TestSupport
import Testing

extension EndToEnd {
    /// The memory that the lines of a push use: M4.
    @Suite struct CommandMemoryTests {
        /// Bytes of lines. The limits of the tests are multiples of it, since the checks and the
        /// report read the commands, too.
        private static let size = 8 << 20

        private func growth(_ body: (Site, String, String) throws -> Void) throws -> Int {
            let site = try Site(.file)
            let (repository, tree) = try seeded(site)
            let before = try site.instance.peakMemory()
            try body(site, repository, try tree.git("rev-parse", "HEAD"))
            return try site.instance.peakMemory() - before
        }

        private func post(
            _ site: Site, _ repository: String, _ bytes: [UInt8]
        ) throws -> HTTPMessage {
            try site.http.send(
                "POST", "/git/\(repository).git/git-receive-pack",
                headers: [
                    Site.authorization,
                    ("Content-Type", "application/x-git-receive-pack-request"),
                ], body: .bytes(bytes))
        }

        @Test func pushOptionsOfOneByteTakeNoMultipleOfTheirBytes() throws {
            let options = Array(
                repeatElement(PktLines.line("x"), count: Self.size / 5).joined())
            let growth = try growth { site, repository, tip in
                let commands = PushBody(
                    [.init(old: nil, new: tip, "refs/heads/x")],
                    capabilities: "report-status push-options", pack: [])
                let answer = try post(
                    site, repository, commands.bytes + options + PktLines.flush)
                #expect(answer.status == 413, "\(answer.start)")
            }
            #expect(growth < 2 * Self.size, "\(growth >> 10) KiB")
        }

        @Test func shallowLinesTakeLittleMoreThanTheirBytes() throws {
            let growth = try growth { site, repository, tip in
                let line = PktLines.line("shallow \(tip)")
                let lines = Array(repeatElement(line, count: Self.size / line.count).joined())
                let commands = PushBody(
                    [.init(old: nil, new: tip, "refs/heads/a..b")],
                    capabilities: "report-status", pack: PushBody.emptyPack)
                let answer = try post(site, repository, lines + commands.bytes)
                #expect(answer.text.contains("funny refname"), "\(answer.start)")
            }
            #expect(growth < 4 * Self.size, "\(growth >> 10) KiB")
        }

        @Test func commandsTakeAFewTimesTheirBytes() throws {
            let growth = try growth { site, repository, tip in
                let commands = (0..<Self.size / 110).map {
                    PushBody.Command(old: nil, new: tip, "refs/heads/topic-\($0)")
                }
                let body = PushBody(
                    commands + [.init(old: nil, new: tip, "refs/heads/a..b")],
                    capabilities: "report-status atomic", pack: PushBody.emptyPack)
                let answer = try post(site, repository, body.bytes)
                #expect(answer.text.hasSuffix("funny refname\n0000"), "\(answer.start)")
            }
            #expect(growth < 7 * Self.size, "\(growth >> 10) KiB")
        }
    }
}
