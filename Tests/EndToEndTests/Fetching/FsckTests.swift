import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// Pushes of objects that `git fsck` reports: G1.
    @Suite struct FsckTests {
        /// A tree with a branch `tz` whose commit has an invalid time zone, and a branch `nul`
        /// whose commit has a zero byte in its header.
        private func history(_ host: any GitHost) throws -> (repository: String, tree: WorkTree) {
            let (repository, tree) = try seeded(host)
            let root = try tree.git("rev-parse", "HEAD^{tree}")
            let person = "alice <alice@example.org> 1"
            for (branch, author, committer) in [
                ("tz", "\(person) +051800", "\(person) +0000"),
                ("nul", "\(person) +0000", "\(person) +0000\nx \0"),
            ] {
                let text = "tree \(root)\nauthor \(author)\ncommitter \(committer)\n\n\(branch)\n"
                let id = try tree.git(
                    "hash-object", "-t", "commit", "-w", "--stdin", "--literally",
                    input: .bytes(Array(text.utf8)))
                try tree.git("update-ref", "refs/heads/\(branch)", id)
            }
            return (repository, tree)
        }

        private func expectServed(
            _ host: any GitHost, _ repository: String, _ branch: String, of tree: WorkTree,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let copy = try WorkTree.clone(
                host.anonymousURL(repository), "-q", "--bare", "--branch", branch)
            let served = try copy.git("rev-parse", branch)
            #expect(try served == tree.git("rev-parse", branch), sourceLocation: sourceLocation)
        }

        @Test func strictRefusesWhatGitsDefaultTakes() throws {
            let standard = try HTTPBackendSite(
                overriding: """
                    [receive]
                    \tfsckObjects = false
                    """)
            let (theirs, theirTree) = try history(standard)
            let taken = try theirTree.attempt("push", "origin", "tz")
            #expect(taken.succeeded, "\(taken)")
            try expectServed(standard, theirs, "tz", of: theirTree)

            let site = try Site.shared(.file)
            let (_, tree) = try history(site)
            let refused = try tree.attempt("push", "origin", "tz")
            #expect(!refused.succeeded, "\(refused)")
            #expect(refused.errors.contains("badTimezone"), "\(refused)")
            #expect(refused.errors.contains("[remote rejected] tz -> tz"), "\(refused)")
            #expect(try !tree.git("ls-remote", "origin").contains("refs/heads/tz"))

            // As `git http-backend` does with the same setting.
            let strict = try HTTPBackendSite.shared()
            let (_, peer) = try history(strict)
            #expect(try peer.attempt("push", "origin", "tz").errors.contains("badTimezone"))
        }

        @Test func offTakesWhatGitsDefaultTakes() throws {
            let site = try Site(.file, options: ["--fsck", "off"])
            let (repository, tree) = try history(site)
            let push = try tree.attempt("push", "origin", "tz")
            #expect(push.succeeded && !push.errors.contains("badTimezone"), "\(push)")
            try expectServed(site, repository, "tz", of: tree)
            // A compaction preserves it.
            try tree.commit("more")
            try tree.git("push", "-q", "origin", "main")
            try site.command("compact", [repository, "--full"]).checked()
            try expectServed(site, repository, "tz", of: tree)
        }

        @Test func warnShowsAndTakesAllButWhatIsFatal() throws {
            let site = try Site(.file, options: ["--fsck", "warn"])
            let (repository, tree) = try history(site)
            let push = try tree.attempt("push", "origin", "tz")
            #expect(push.succeeded && push.errors.contains("badTimezone"), "\(push)")
            try expectServed(site, repository, "tz", of: tree)
            let fatal = try tree.attempt("push", "origin", "nul")
            #expect(!fatal.succeeded && fatal.errors.contains("nulInHeader"), "\(fatal)")
        }

        @Test func acceptedMessageIsShownAndOthersAreErrors() throws {
            let site = try Site(
                .file, options: ["--fsck-accept", "badTimezone", "--fsck-accept", "hasDotgit"])
            let (repository, tree) = try history(site)
            let push = try tree.attempt("push", "origin", "tz")
            #expect(push.succeeded && push.errors.contains("badTimezone"), "\(push)")
            try expectServed(site, repository, "tz", of: tree)
            let other = try tree.attempt("push", "origin", "nul")
            #expect(!other.succeeded && other.errors.contains("nulInHeader"), "\(other)")
        }

        @Test func pushThatIsReceivedAgainIsCheckedInTheSameWay() throws {
            let barrier = try TemporaryDirectory()
            try barrier.file("go", "")
            let site = try Site(
                .file, options: ["--fsck-accept", "badTimezone"],
                environment: ["GIT_S3_BACKEND_FAULT": "push-hydrated=barrier:\(barrier.path)"])
            let (repository, tree) = try history(site)
            try tree.commit("more")
            try tree.git("push", "-q", "origin", "main")
            for name in try Files.names(in: barrier.path) {
                Files.removeTree("\(barrier.path)/\(name)")
            }
            let push = Background { try tree.attempt("push", "origin", "tz") }
            try wait(for: "the push to be held") { try !Files.names(in: barrier.path).isEmpty }
            // After a compaction, the push has to be received again.
            let folded = Result { try site.command("compact", [repository, "--full"]).checked() }
            try barrier.file("go", "")
            let result = try push.value()
            _ = try folded.get()
            #expect(result.succeeded, "\(result)")
            #expect(site.log.contains("push again") || site.log.contains("retrying push"))
            try expectServed(site, repository, "tz", of: tree)
        }

        @Test func variablesDoTheSameForACGI() throws {
            for variables in [
                ["GIT_S3_BACKEND_FSCK_ACCEPT": "zeroPaddedFilemode, badTimezone"],
                ["GIT_S3_BACKEND_FSCK": "off"], ["GIT_S3_BACKEND_FSCK": "warn"],
            ] {
                var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
                setup.environment = variables
                let site = try CGISite(setup)
                let (repository, tree) = try history(site)
                let push = try tree.attempt("push", "origin", "tz")
                #expect(push.succeeded, "\(variables): \(push)")
                try expectServed(site, repository, "tz", of: tree)
            }
        }

        @Test func messageThatGitDoesNotLetPassIsAnErrorAtTheStart() throws {
            let place = try CommandPlace()
            let socket = "unix:\(place.directory.path)/socket"
            for (message, reason) in [
                ("badtimezones", "Unhandled message id: badtimezones"),
                ("nulInHeader", "Cannot demote nulinheader to warn"),
                ("skipList", "for --fsck-accept"),
            ] {
                let result = try place.run(
                    ["serve", "--listen", socket, "--fsck-accept", message])
                #expect(result.ending == .exited(1), "\(result)")
                #expect(
                    result.errors.contains("Invalid value '\(message)' for --fsck-accept"),
                    "\(result)")
                #expect(result.errors.contains(reason), "\(result)")
            }
        }
    }
}
