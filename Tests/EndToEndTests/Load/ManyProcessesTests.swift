import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// Programs that a web server starts and ends on its own, and several behind one server.
    @Suite(.tags(.race)) struct ManyProcessesTests {
        /// The ids of the processes that run a program.
        private func processes(of program: String) throws -> [pid_t] {
            try Files.names(in: "/proc").compactMap { pid_t($0) }.filter {
                var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
                let count = readlink("/proc/\($0)/exe", &buffer, buffer.count)
                let path = buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }
                return path == Array(program.utf8)
            }
        }

        @Test func oneOfManyStartingProcessesProbesTheStore() throws {
            let site = try ApacheSite(
                .cgid, ServerProcess.Setup(try StoreUnderTest.file.makeBucket()))
            let statuses = try concurrently(12) { _ in
                try site.advertisement("team/none").status
            }
            #expect(statuses == Array(repeating: 404, count: 12))
            #expect(site.log.ranges(of: "store passed the conformance probe").count == 1)
        }

        @Test(arguments: [SIGTERM, SIGUSR1, SIGHUP, SIGKILL])
        func aProcessThatApacheEndsEarlyLosesNothing(signal: Int32) throws {
            let barrier = try TemporaryDirectory()
            try Account.ofWebServers()?.give(barrier.path)
            let copy = try ProgramCopy()
            try copy.open()
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.program = copy.program
            setup.environment = [
                "GIT_S3_BACKEND_FAULT": "push-stored=barrier:\(barrier.path)"
            ]
            try barrier.file("go", "")
            let site = try ApacheSite(.fcgid, setup)
            let (repository, tree) = try seeded(site)
            for name in try Files.names(in: barrier.path) {
                Files.removeTree("\(barrier.path)/\(name)")
            }
            try tree.commit("held")
            let push = Background { try tree.attempt("push", "origin", "main") }
            try wait(for: "the push to be held") { try !Files.names(in: barrier.path).isEmpty }
            let running = try processes(of: copy.program)
            #expect(!running.isEmpty)
            for process in running { kill(process, signal) }
            try barrier.file("go", "")
            let result = try push.value()
            // After a signal that can be handled, the push finishes.
            #expect(result.succeeded == (signal != SIGKILL), "\(result)")
            if signal == SIGKILL { try tree.git("push", "-q", "origin", "main") }
            try expectServed(site, repository, equals: tree)
            try wait(for: "nothing to be left") { try site.leftovers().isEmpty }
        }

        @Test func aPushIsNeverSentToASecondResponder() throws {
            let bucket = try StoreUnderTest.file.makeBucket()
            var setup = ServerProcess.Setup(bucket)
            setup.environment = ["GIT_S3_BACKEND_FAULT": "push-hydrated=kill"]
            let first = try ServerProcess(setup)
            setup.environment = [:]
            let second = try ServerProcess(setup)
            let seeding = try Site(setup)
            let (repository, tree) = try seeded(seeding)
            let nginx = try Nginx(before: .pair(socket: first.socket, backup: second.socket))
            let url = "http://alice:wonderland@127.0.0.1:\(nginx.port)/git/\(repository).git"

            let next = try tree.commit("next")
            let result = try tree.attempt("push", url, "main")
            #expect(!result.succeeded, "\(result)")
            #expect(try first.waitForEnd() == .signalled(SIGKILL))
            #expect(!second.log.contains("push published"))
            let tip = try tree.git("rev-parse", "main~1")
            #expect(try tree.git("ls-remote", url, "main").hasPrefix(tip))

            // A dead server receives no part of the request, so the other one may get it.
            try tree.git("push", "-q", url, "main")
            #expect(second.log.contains("push published"))
            #expect(try tree.git("ls-remote", url, "main").hasPrefix(next))
        }

        @Test func nginxSpeaksHTTP2AndTLS() throws {
            let site = try Site.shared(.file)
            let certificate = try Certificate()
            let nginx = try Nginx(
                before: .fastCGI(socket: site.instance.socket), certificate: certificate)
            try expectTLS(site, nginx.port, certificate, version: "HTTP/2")
        }

        @Test func apacheSpeaksTLS() throws {
            let certificate = try Certificate()
            let site = try ApacheSite(
                .proxy, ServerProcess.Setup(try StoreUnderTest.file.makeBucket()),
                certificate: certificate)
            try expectTLS(site, site.port, certificate, version: "HTTP/1.1")
        }

        /// Expects a push and a clone to work by `https`.
        private func expectTLS(
            _ site: any BackendHost, _ port: UInt16, _ certificate: Certificate, version: String
        ) throws {
            let repository = try site.create()
            let url = "https://alice:wonderland@127.0.0.1:\(port)/git/\(repository).git"
            let tree = try WorkTree.make(remote: url)
            let trust = "http.sslCAInfo=\(certificate.file)"
            try tree.commit("large", bytes: try randomBytes(3_000_000))
            let push = try tree.client.run(
                ["-c", trust, "push", "origin", "main"], in: tree.path,
                environment: ["GIT_TRACE_CURL": "1"]
            ).checked()
            #expect(push.errors.contains("\(version) 200"), "\(push)")
            let copy = try WorkTree.clone(url, "-q", "-c", trust, "--mirror")
            #expect(try copy.refs() == tree.refs())
            let stranger = try tree.attempt("ls-remote", url)
            #expect(!stranger.succeeded, "\(stranger)")
        }
    }
}
