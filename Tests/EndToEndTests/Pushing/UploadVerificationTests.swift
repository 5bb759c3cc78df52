import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// Verification reads pushed objects back from the store, once.
    @Suite struct UploadVerificationTests {
        /// A site that holds verification before each object.
        private static func held(
            _ store: StoreUnderTest, options: [String] = []
        ) throws -> (site: Site, barrier: TemporaryDirectory) {
            let barrier = try TemporaryDirectory()
            let site = try Site(
                store, options: ["--verify-uploads", "on"] + options,
                environment: [
                    "GIT_S3_BACKEND_FAULT": "upload-verified=barrier:\(barrier.path)"
                ])
            return (site, barrier)
        }

        private static func line(_ site: Site, _ message: String) throws -> String {
            var found: String?
            try wait(for: "'\(message)' in the log") {
                found = site.log.split(separator: "\n").first { $0.contains(message) }
                    .map(String.init)
                return found != nil
            }
            return try #require(found)
        }

        @Test(arguments: stores)
        func damagedUploadIsLoggedAndRepairedFromTheCache(store: StoreUnderTest) throws {
            let (site, barrier) = try Self.held(store)
            let (repository, tree) = try seeded(site)
            let pack = try #require(try site.bucket.packs(of: repository).first)
            let original = try #require(try site.bucket.read(.pack(pack)))
            var damaged = original
            damaged[damaged.count / 2] ^= 1
            try site.bucket.overwrite(.pack(pack), with: damaged)
            try barrier.file("go", "")

            let line = try Self.line(site, "stored object is damaged")
            #expect(line.contains("packs/\(pack)"))
            #expect(line.contains(repository))
            let command = "repair \(repository) --from \(site.instance.stateDirectory)"
            #expect(line.contains("A good copy is cached here. Run 'git-s3-backend \(command)'."))

            // An administrator usually has another state directory.
            let words = command.split(separator: " ").map(String.init)
            var administrator = ServerProcess.Setup(site.bucket)
            administrator.options = ["--verify-uploads", "off"]
            try Site(administrator).command(words[0], Array(words[1...])).checked()
            #expect(try site.bucket.read(.pack(pack)) == original)
            var setup = ServerProcess.Setup(site.bucket)
            setup.options = ["--verify-uploads", "off"]
            try expectServed(Site(setup), repository, equals: tree)
        }

        @Test func missingUploadWithoutACopyNamesThePusher() throws {
            let (site, barrier) = try Self.held(.file, options: ["--cache-size", "0"])
            let (repository, _) = try seeded(site)
            let pack = try #require(try site.bucket.packs(of: repository).first)
            try site.bucket.delete(.pack(pack))
            try barrier.file("go", "")
            let line = try Self.line(site, "stored object is damaged")
            #expect(line.contains("packs/\(pack)"))
            #expect(line.contains("missing"))
            #expect(line.contains("the pusher has the objects"))
        }

        @Test func stopDropsWhatWaitsAndLogsHowMuch() throws {
            let (site, barrier) = try Self.held(.file)
            let (_, tree) = try seeded(site)
            try tree.commit("second")
            try tree.git("push", "-q", "origin", "main")
            try wait(for: "the first upload to be taken up") {
                try !Files.names(in: barrier.path).isEmpty
            }
            try site.instance.stop()
            // Two packs and two manifests; the first read is held until the end.
            let line = try Self.line(site, "uploads left unverified at shutdown")
            #expect(line.contains("uploads.count=4"))
        }

        @Test(arguments: [nil, "off", "auto", "on"] as [String?])
        func fileStoresAreVerifiedOnlyIfAsked(choice: String?) throws {
            var environment = ["GIT_S3_BACKEND_LOG_LEVEL": "debug"]
            environment["GIT_S3_BACKEND_VERIFY_UPLOADS"] = choice
            let site = try Site(.file, environment: environment)
            _ = try seeded(site)
            if choice == "on" {
                _ = try Self.line(site, "upload verified")
            } else {
                try site.instance.stop()
                #expect(!site.log.contains("upload verified"))
                #expect(!site.log.contains("unverified"))
            }
        }

        @Test func oneShotCGIVerifiesNothing() throws {
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.environment = [
                "GIT_S3_BACKEND_VERIFY_UPLOADS": "on", "GIT_S3_BACKEND_LOG_LEVEL": "debug",
            ]
            setup.state = try TemporaryDirectory()
            let site = try Site(setup)
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "main")
            let next = try tree.commit("by CGI")
            let body = PushBody(
                [.init(old: tip, new: next, "refs/heads/main")], capabilities: "report-status",
                pack: try tree.pack([next, "^\(tip)"])
            ).bytes
            let result = try CGIRun(setup).run(
                "POST", "/\(repository)/git-receive-pack",
                variables: [
                    "CONTENT_TYPE": "application/x-git-receive-pack-request",
                    "REMOTE_USER": "alice",
                ], input: .bytes(body), length: body.count
            ).checked()
            #expect(result.text.contains("ok refs/heads/main"))
            #expect(!result.errors.contains("upload verified"))
        }
    }
}
