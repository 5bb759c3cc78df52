import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// One push replaces a branch by a directory with its name, and back: G3.
    @Suite struct BranchToDirectoryTests {
        @Test(arguments: fronts, [("foo", "foo/bar"), ("foo/bar", "foo")])
        func branchBecomesADirectoryAsByGit(front: Front, names: (String, String)) throws {
            let (old, new) = names
            try sameAsGit(front, "\(names)") { session in
                let repository = try session.publish()
                let tree = try session.clone(repository, "-q")
                try session.git(tree, "push", "origin", "HEAD:refs/heads/\(old)")

                let atomic = try session.attempt(
                    tree, "push", "--atomic", "origin", ":refs/heads/\(old)",
                    "HEAD:refs/heads/\(new)")
                #expect(!atomic.succeeded)
                #expect(atomic.errors.contains("atomic transaction failed"), "\(atomic)")
                session.note("kept", try tree.git("ls-remote", "origin", "refs/heads/foo*"))

                let push = try session.attempt(
                    tree, "push", "origin", ":refs/heads/\(old)", "HEAD:refs/heads/\(new)")
                #expect(push.succeeded, "\(push)")
                let refs = try tree.git("ls-remote", "origin", "refs/heads/foo*")
                #expect(refs.hasSuffix("\trefs/heads/\(new)"), "\(refs)")
                session.note("changed", refs)
            }
        }

        /// While another push wins the swap: once without a compaction, where the push is
        /// reapplied, and once with one, where git receives the push again.
        @Test(arguments: [false, true])
        func branchBecomesADirectoryThoughAnotherPushWins(isFolded: Bool) throws {
            let barrier = try TemporaryDirectory()
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            let direct = try Site(setup)
            setup.environment = ["GIT_S3_BACKEND_FAULT": "push-hydrated=barrier:\(barrier.path)"]
            let site = try Site(setup)
            let (repository, tree) = try seeded(direct)
            try tree.git("push", "-q", "origin", "main:refs/heads/foo")
            let tip = try tree.commit("topic")

            let push = Background {
                try tree.client.run(
                    ["push", site.url(repository), ":refs/heads/foo", "\(tip):refs/heads/foo/bar"],
                    in: tree.path)
            }
            try wait(for: "the push to be held") { try !Files.names(in: barrier.path).isEmpty }
            let winner = Result {
                try tree.commit("other")
                try tree.git("push", "-q", direct.url(repository), "main")
                if isFolded { try direct.command("compact", [repository, "--full"]).checked() }
            }
            try barrier.file("go", "")
            let result = try push.value()
            try winner.get()
            #expect(result.succeeded, "\(result)")
            let served = try tree.git("ls-remote", direct.anonymousURL(repository))
            #expect(served.contains("\(tip)\trefs/heads/foo/bar"), "\(served)")
            #expect(!served.contains("refs/heads/foo\n"), "\(served)")
            let main = try tree.git("rev-parse", "main")
            #expect(served.contains("\(main)\trefs/heads/main"), "\(served)")
            let copy = try WorkTree.clone(direct.anonymousURL(repository), "-q", "--mirror")
            try copy.git("fsck", "--full", "--strict", "--no-dangling")
        }
    }
}
