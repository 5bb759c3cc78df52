import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// The parts of a request that each web server passes on.
    @Suite(.tags(.front)) struct FrontVariableTests {
        /// The variables that the program receives for a request that carries secrets.
        private func variables(
            _ front: Front, service: String
        ) throws -> [String: String] {
            let dump = try VariableDump()
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.program = dump.program
            let site = try front.makeSite(setup)
            let answer = try site.http.send(
                "GET", "/git/a/b.git/info/refs?service=\(service)",
                headers: [
                    Site.authorization, ("Cookie", "session=secret"),
                    ("Proxy-Authorization", "Basic c2VjcmV0"), ("Proxy", "http://secret"),
                    ("X-Other", "other"), ("Remote-User", "mallory"), ("Git-Protocol", "version=2"),
                ])
            #expect(answer.status == 200, "\(answer)")
            let pairs = answer.text.split(separator: "\n").map { line in
                let parts = line.split(
                    separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                return (String(parts[0]), String(parts.last ?? ""))
            }
            return Dictionary(pairs) { first, _ in first }
        }

        // W12
        @Test(arguments: Front.allCases)
        func noPasswordAndNoCookieReachesTheProgram(front: Front) throws {
            for (service, user) in [("git-upload-pack", ""), ("git-receive-pack", "alice")] {
                let variables = try variables(front, service: service)
                #expect(variables["PATH_INFO"] == "/a/b.git/info/refs")
                #expect(variables["HTTP_GIT_PROTOCOL"] == "version=2")
                #expect(variables["REMOTE_USER"] ?? "" == user)
                for (name, value) in variables {
                    for secret in ["secret", "c2VjcmV0", "wonderland", Site.authorization.value] {
                        #expect(!value.contains(secret), "\(name)=\(value)")
                    }
                }
                // As documented in Security, nginx passes no other headers; Apache and lighttpd do.
                switch front {
                case .nginx, .cgi, .spawnFCGI, .systemd: #expect(variables["HTTP_X_OTHER"] == nil)
                default: #expect(variables["HTTP_X_OTHER"] == "other")
                }
            }
        }
    }
}
