import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// The two URLs of a repository, `x` and `x.git`.
    @Suite(.tags(.front)) struct RepositoryURLTests {
        // W4
        @Test(arguments: ["git", "none"])
        func oneSpellingIsServedAndTheOtherIsUnknown(suffix: String) throws {
            for front in [Front.nginx, .cgi] {
                var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
                setup.environment = ["GIT_S3_BACKEND_URL_SUFFIX": suffix]
                let site = try front.makeSite(setup)
                let repository = try site.create()
                func answer(_ path: String) throws -> HTTPMessage {
                    try site.http.send("GET", "/git/\(path)/info/refs?service=git-upload-pack")
                }
                let plain = try answer(repository)
                let dotted = try answer(repository + ".git")
                let (served, unknown) = suffix == "git" ? (dotted, plain) : (plain, dotted)
                #expect(served.status == 200)
                let ending = suffix == "git" ? "" : ".git"
                let other = try answer("team/none" + ending)
                #expect(unknown.status == 404 && other.status == 404)
                func text(_ message: HTTPMessage) -> String {
                    message.text.replacing(/\(request .*\)/, with: "")
                }
                #expect(text(unknown) == text(other))
                #expect(text(unknown).hasPrefix("Repository not found."))
            }
        }

        // W4
        @Test(arguments: [
            (Front.nginx, "# nginx: /etc/nginx/git-s3-backend.d/private.conf"),
            (.apacheProxy, "# Apache: after the Include"),
            (.apacheFCGID, "# Apache: after the Include"),
            (.apacheCGID, "# Apache: after the Include"),
            (.lighttpd, "# lighttpd: after the others"),
        ])
        func repositoryIsProtectedUnderBothOfItsURLs(front: Front, block: String) throws {
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.serverConfiguration = try Documentation.block(block, of: "Security")
            let site = try front.makeSite(setup)
            for name in ["acme/x", "acme/xy", "acme2/x"] { try site.create(name) }
            let tree = try WorkTree.make(remote: site.url("acme/x"))
            try tree.commit("README", "first")
            try tree.git("push", "-q", "origin", "main")
            let list = PktLines.line("command=ls-refs\n") + PktLines.flush
            for (path, isPrivate) in [
                ("acme/x", true), ("acme/x.git", true), ("acme/xy", false), ("acme/xy.git", false),
                ("acme2/x", false), ("acme2/x.git", false),
            ] {
                for tail in ["info/refs?service=git-upload-pack", "git-upload-pack"] {
                    let answers = try [[], [Site.authorization]].map { headers in
                        try site.http.send(
                            tail == "git-upload-pack" ? "POST" : "GET", "/git/\(path)/\(tail)",
                            headers: headers + [
                                ("Content-Type", "application/x-git-upload-pack-request"),
                                ("Git-Protocol", "version=2"),
                            ],
                            body: tail == "git-upload-pack" ? .bytes(list) : .none
                        ).status
                    }
                    #expect(answers == [isPrivate ? 401 : 200, 200], "\(path)/\(tail)")
                }
            }
            // However it is spelled: a server that normalizes a path does so before it selects a
            // rule.
            for path in [
                "/git//acme/x", "//git/acme/x.git", "/git/./acme/x", "/git/acme/%78",
                "/git/acme/x%2Egit", "/git/acme/y/../x.git", "/git%2Facme/x", "/git/acme%2Fx",
                "/git/acme/x/.", "/git/acme/x;/", "/git/acme/x.git/",
            ] {
                let answer = try site.http.send(
                    "GET", "\(path)/info/refs?service=git-upload-pack")
                #expect((400..<500).contains(answer.status), "\(path): \(answer)")
            }
            let url = "http://alice:wonderland@127.0.0.1:\(site.port)/git/acme/x"
            let copy = try WorkTree.clone(url, "-q")
            #expect(try copy.git("rev-parse", "main") == tree.git("rev-parse", "main"))
        }
    }
}
