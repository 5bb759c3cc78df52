import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// The subjects of git's t5537, t5539 and t5542, except for the many cases in which the
    /// server's repository is shallow: no push can make it so.
    @Suite struct ShallowMatrixTests {
        private static func count(_ tree: WorkTree, _ revision: String = "HEAD") throws -> Int {
            Int(try tree.git("rev-list", "--count", revision)) ?? 0
        }

        /// The boundary's commits; empty if the repository is complete.
        private static func boundary(of tree: WorkTree) throws -> String {
            guard try Files.size(of: tree.path + "/.git/shallow") != nil else { return "" }
            return text(try Files.read(tree.path + "/.git/shallow"))
                .split(separator: "\n").sorted().joined(separator: " ")
        }

        private static func expectSound(
            _ tree: WorkTree, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let fsck = try tree.attempt("fsck", "--full", "--strict", "--no-dangling")
            #expect(fsck.succeeded, "\(fsck)", sourceLocation: sourceLocation)
        }

        @Test(arguments: fronts, 0...2)
        func depthIsSetRaisedDeepenedAndLifted(front: Front, version: Int) throws {
            try sameAsGit(front, "\(version)") { session in
                let repository = try session.published()
                let tree = try session.clone(
                    repository, "-q", "--depth=2", "-c", "protocol.version=\(version)")
                #expect(try Self.count(tree) == 2)
                session.note("boundary", try Self.boundary(of: tree))
                for (option, expected) in [("--depth=4", 4), ("--deepen=1", 5), ("--depth=3", 3)] {
                    try session.git(tree, "fetch", "-q", option)
                    #expect(try Self.count(tree) == expected, "\(option)")
                    session.note("boundary", try Self.boundary(of: tree))
                }
                // Depth is counted for each branch, whatever history the branches share.
                try session.git(
                    tree, "fetch", "-q", "--depth=1", "origin",
                    "+refs/heads/*:refs/remotes/origin/*")
                #expect(try Self.count(tree, "origin/topic") == 1)
                try session.git(tree, "fetch", "-q", "--unshallow")
                #expect(try Self.count(tree) == 8)
                #expect(try Self.boundary(of: tree) == "")
                try Self.expectSound(tree)
                try session.attempt(tree, "fetch", "--unshallow")
            }
        }

        @Test(arguments: fronts, 0...2)
        func historyIsCutByTimeAndByRef(front: Front, version: Int) throws {
            try sameAsGit(front, "\(version)") { session in
                let repository = try session.published()
                let option = "protocol.version=\(version)"
                let since = try session.clone(
                    repository, "-q", "--shallow-since=@\(History.time(6))", "-c", option)
                #expect(try Self.count(since) == 3)
                try session.git(since, "fetch", "-q", "--shallow-since=@\(History.time(3))")
                #expect(try Self.count(since) == 6)
                session.note("boundary", try Self.boundary(of: since))
                try Self.expectSound(since)

                let excluding = try session.clone(
                    repository, "-q", "--shallow-exclude=light", "-c", option)
                #expect(try Self.count(excluding) == 3)
                try session.git(excluding, "fetch", "-q", "--shallow-exclude=v1")
                #expect(try Self.count(excluding) == 6)
                session.note("boundary", try Self.boundary(of: excluding))
                try Self.expectSound(excluding)
                try session.attempt(excluding, "fetch", "-q", "--depth=0")
            }
        }

        /// Only for requests to which git has not started an answer. `git http-backend` sends its
        /// 200 before git has read anything, and then closes the connection; in version 2 git
        /// itself does.
        @Test(arguments: fronts, [0, 2])
        func requestThatCutsAllOfTheHistoryOffFailsAsTheClients(front: Front, version: Int) throws {
            let site = try front.shared()
            let repository = try History.shared.get().published(on: site)
            let tree = try WorkTree.clone(
                site.anonymousURL(repository), "-q", "--depth=1", "-c",
                "protocol.version=\(version)")
            for option in [
                "--shallow-exclude=none", "--shallow-exclude=main",
                "--shallow-since=@\(History.time(99))",
            ] {
                let run = try tree.traced("fetch", "-q", option)
                #expect(!run.succeeded)
                let isTold = version == 0 || option == "--shallow-exclude=none"
                #expect(run.errors.contains("HTTP 400") == isTold, "\(option): \(run)")
                #expect(try Self.count(tree) == 1)
            }
        }

        @Test(arguments: fronts, [0, 2])
        func deepeningTakesWhatIsNewAlongAndKeepsWhatWasThere(front: Front, version: Int) throws {
            try sameAsGit(front, "\(version)") { session in
                let repository = try session.publish()
                let option = "protocol.version=\(version)"
                let tree = try session.clone(repository, "-q", "--depth=1", "-c", option)
                let writer = try session.clone(repository, "-q", "-c", option)
                for number in 1...3 { try writer.commit("new", "\(number)") }
                try writer.git("push", "-q", "origin", "main")

                // A plain fetch of new commits does not move the boundary.
                let plain = try session.git(tree, "fetch", "-q")
                #expect(try Self.count(tree, "origin/main") == 4)
                if version == 0, let ready = plain.packets.lastIndex(where: { $0.contains("ACK") })
                {
                    #expect(!plain.packets[ready...].contains { $0.contains("< shallow ") })
                }
                try writer.commit("new", "4")
                try writer.git("push", "-q", "origin", "main")
                try session.git(tree, "fetch", "-q", "--deepen=2")
                let deepened = try Self.count(tree, "origin/main")
                #expect(deepened == 7)
                try Self.expectSound(tree)

                // A branch that starts behind the boundary.
                try writer.git("push", "-q", "origin", "main~8:refs/heads/old")
                try session.git(tree, "fetch", "-q", "origin", "old:old")
                session.note("old", try Self.count(tree, "old"))
                session.note("boundary", try Self.boundary(of: tree))
                try Self.expectSound(tree)
            }
        }

        @Test(arguments: fronts) func oneBranchOrTagIsClonedToADepth(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.published()
                let tag = try session.clone(repository, "-q", "--depth=1", "--branch=nested")
                #expect(try tag.git("log", "-1", "--format=%s") == "commit 2")
                #expect(try Self.count(tag) == 1)
                let all = try session.clone(repository, "-q", "--depth=1", "--no-single-branch")
                session.note("refs", try all.git("for-each-ref"))
                let bare = try session.clone(repository, "-q", "--bare", "--depth=1", "--no-tags")
                session.note("refs", try bare.git("for-each-ref"))
                let whole = try session.clone(repository, "-q", "--reject-shallow")
                #expect(try Self.count(whole) == 8)
                let other = try session.clone(repository, "-q", "--single-branch", "-b", "topic")
                #expect(try other.git("for-each-ref", "refs/remotes").contains("topic"))
                session.note("refs", try other.git("for-each-ref"))
                try session.attempt(other, "fetch", "--update-shallow", "-q")
            }
        }

        @Test(arguments: fronts)
        func shallowCloneMayPushWhatTheServerCanCompleteAndNothingElse(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.publish()
                let shallow = try session.clone(repository, "-q", "--depth=1")
                let tip = try shallow.commit("new", "new")
                try session.git(shallow, "push", "origin", "main", "main:refs/heads/copy")
                let whole = try session.clone(repository, "-q", "-b", "copy")
                #expect(try whole.git("rev-parse", "HEAD") == tip)
                #expect(try Self.count(whole) == 9)
                try Self.expectSound(whole)

                // The other repository has no objects below the boundary.
                let empty = try session.host.create()
                let refused = try session.attempt(shallow, "push", session.host.url(empty), "main")
                #expect(!refused.succeeded)
                #expect(refused.errors.contains("shallow update not allowed"), "\(refused)")
                #expect(try shallow.git("ls-remote", session.host.url(empty)) == "")
            }
        }
    }
}
