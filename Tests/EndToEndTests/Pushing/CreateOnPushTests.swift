import Bytes
import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct CreateOnPushTests {
        private func tree(_ site: Site, _ repository: String) throws -> WorkTree {
            let tree = try WorkTree.make(remote: site.url(repository))
            try tree.commit("README")
            return tree
        }

        private func name() -> String { "team/r-\(Hex.random(bytes: 6))" }

        @Test(arguments: stores)
        func firstPushMakesTheRepository(store: StoreUnderTest) throws {
            let site = try Site(store, options: ["--create-on-push"])
            let repository = name()
            let tree = try tree(site, repository)
            try tree.git("tag", "-a", "-m", "one", "v1")
            try tree.git("push", "-q", "origin", "main", "v1")
            try expectServed(site, repository, equals: tree)
            try tree.commit("more")
            try tree.git("push", "-q", "origin", "main")
            let copy = try WorkTree.clone(site.anonymousURL(repository), "-q")
            #expect(try copy.git("rev-parse", "HEAD") == tree.git("rev-parse", "main"))
            #expect(try copy.git("symbolic-ref", "HEAD") == "refs/heads/main")
        }

        @Test func withoutTheOptionItIsNotFound() throws {
            let site = try Site.shared(.file)
            let result = try tree(site, name()).attempt("push", "origin", "main")
            #expect(!result.succeeded && result.errors.contains("not found"), "\(result)")
        }

        @Test func readersFindNothingAndStrangersMakeNothing() throws {
            let site = try Site(.file, options: ["--create-on-push"])
            let repository = name()
            let (_, clone) = try WorkTree.attemptClone(site.url(repository), ["-q"])
            #expect(!clone.succeeded && clone.errors.contains("not found"), "\(clone)")
            let tree = try tree(site, repository)
            let stranger = try tree.attempt("push", site.anonymousURL(repository), "main")
            #expect(!stranger.succeeded)
            let unnamed = try tree.attempt("push", site.url("team/bad..name"), "main")
            #expect(!unnamed.succeeded && unnamed.errors.contains("not found"))
            #expect(throws: TestFailure.self) { try site.bucket.pointer(of: repository) }
        }

        @Test func clientOfAnotherObjectFormatMakesNothing() throws {
            let site = try Site(.file, options: ["--create-on-push"])
            let repository = name()
            let tree = try WorkTree.make(remote: site.url(repository), format: "sha256")
            try tree.commit("README")
            let result = try tree.attempt("push", "origin", "main")
            #expect(!result.succeeded, "\(result)")
            #expect(throws: TestFailure.self) { try site.bucket.pointer(of: repository) }
        }

        @Test func firstPushesAtOnceThroughTwoRespondersMakeOneRepository() throws {
            let barrier = try TemporaryDirectory()
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.options = ["--create-on-push"]
            setup.environment = ["GIT_S3_BACKEND_FAULT": "push-hydrated=barrier:\(barrier.path)"]
            let sites = [try Site(setup), try Site(setup)]
            let repository = name()
            let trees = try (0..<4).map { try tree(sites[$0 % 2], repository) }
            let pushes = trees.enumerated().map { number, tree in
                Background { try tree.attempt("push", "origin", "main:writer-\(number)") }
            }
            try wait(for: "all to be held") { try Files.names(in: barrier.path).count == 4 }
            try barrier.file("go", "")
            for push in pushes {
                let result = try push.value()
                #expect(result.succeeded, "\(result)")
            }
            let copy = try WorkTree.clone(sites[0].anonymousURL(repository), "-q", "--mirror")
            try copy.git("fsck", "--full", "--strict", "--no-dangling")
            for (number, tree) in trees.enumerated() {
                #expect(
                    try copy.git("rev-parse", "writer-\(number)") == tree.git("rev-parse", "main"))
            }
        }

        @Test func oneShotCGIMakesIt() throws {
            let site = try Site.shared(.file)
            var setup = site.setup
            setup.state = try TemporaryDirectory()
            let repository = name()
            let tree = try tree(site, repository)
            let tip = try tree.git("rev-parse", "main")
            let body = PushBody(
                [.init(old: String(repeating: "0", count: 40), new: tip, "refs/heads/main")],
                capabilities: "report-status", pack: try tree.pack([tip]))
            let variables = [
                "CONTENT_TYPE": "application/x-git-receive-pack-request", "REMOTE_USER": "alice",
            ]
            func push() throws -> HTTPMessage {
                try CGIRun(setup).request(
                    "POST", "/\(repository).git/git-receive-pack", variables: variables,
                    body: body.bytes)
            }
            #expect(try push().status == 404)
            setup.environment = ["GIT_S3_BACKEND_CREATE_ON_PUSH": "yes"]
            let answer = try push()
            #expect(answer.status == 200 && answer.text.contains("ok refs/heads/main"))
            try expectServed(site, repository, equals: tree)
        }
    }
}
