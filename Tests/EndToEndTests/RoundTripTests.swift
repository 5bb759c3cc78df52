import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct RoundTripTests {
        @Test(arguments: stores, 0...2)
        func pushedCommitsAreClonedAndFetched(store: StoreUnderTest, version: Int) throws {
            let site = try Site.shared(store)
            let repository = try site.create()
            let tree = try WorkTree.make(remote: site.url(repository))
            try tree.git("config", "protocol.version", "\(version)")
            try tree.commit("a")
            try tree.git("push", "-q", "origin", "main")
            try expectServed(site, repository, equals: tree)

            let reader = try WorkTree.clone(
                site.anonymousURL(repository), "-q", "-c", "protocol.version=\(version)")
            try tree.git("switch", "-q", "-c", "topic")
            let tip = try tree.commit("b")
            try tree.git("push", "-q", "origin", "topic")
            try reader.git("fetch", "-q")
            #expect(try reader.git("rev-parse", "origin/topic") == tip)
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func tagsLightAnnotatedAndNestedComeBack(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            try tree.git("tag", "light")
            try tree.git("tag", "-a", "-m", "one", "annotated")
            try tree.git("tag", "-a", "-m", "two", "of-a-tag", "annotated")
            try tree.git("tag", "-a", "-m", "three", "deep/of-a-tag-of-a-tag", "of-a-tag")
            try tree.git("tag", "-a", "-m", "four", "of-a-tree", "main^{tree}")
            try tree.git("push", "-q", "origin", "--tags")
            try expectServed(site, repository, equals: tree)

            let lines = try tree.git("ls-remote", site.anonymousURL(repository))
            let tip = try tree.git("rev-parse", "HEAD")
            #expect(lines.contains("\(tip)\trefs/tags/deep/of-a-tag-of-a-tag^{}"))
            #expect(!lines.contains("refs/tags/light^{}"))
        }

        @Test(arguments: stores)
        func forcePushReplacesABranch(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            try tree.git("commit", "-q", "--amend", "-m", "another")
            #expect(try !tree.attempt("push", "origin", "main").succeeded)
            try tree.git("push", "-q", "--force", "origin", "main")
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func deletedRefsAreGone(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            try tree.git("branch", "topic")
            try tree.git("tag", "-a", "-m", "x", "v1")
            try tree.git("push", "-q", "origin", "topic", "v1")
            try tree.git("push", "-q", "origin", "--delete", "topic", "v1")
            try tree.git("branch", "-q", "-D", "topic")
            try tree.git("tag", "-d", "v1")
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func atomicPushWithOneBadRefAppliesNone(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            let other = try WorkTree.clone(site.url(repository), "-q")
            try other.commit("theirs")
            try other.git("push", "-q", "origin", "main")

            // The client does not know the other's commit, so only the server can refuse.
            try tree.commit("ours")
            try tree.git("branch", "new")
            let old = try tree.git("rev-parse", "main~1")
            let mixed = try tree.attempt(
                "push", "--atomic", "--force-with-lease=main:\(old)", "origin", "main", "new")
            #expect(!mixed.succeeded)
            try expectServed(site, repository, equals: other)

            try other.git("branch", "new")
            try other.git("branch", "newer")
            try other.git("push", "-q", "--atomic", "origin", "new", "newer")
            try expectServed(site, repository, equals: other)
        }

        @Test(arguments: stores)
        func serverRefusesAllOfAnAtomicPushForOneStaleRef(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "main")
            let next = try tree.commit("next")
            let stale = String(repeating: "1", count: 40)
            let answer = try site.push(
                to: repository,
                PushBody(
                    [
                        .init(old: stale, new: next, "refs/heads/main"),
                        .init(old: nil, new: next, "refs/heads/new"),
                    ],
                    capabilities: "report-status atomic",
                    pack: try tree.pack([next, "^\(tip)"])))
            #expect(answer.status == 200)
            #expect(answer.text.contains("ng refs/heads/main "))
            #expect(answer.text.contains("ng refs/heads/new "))
            try tree.git("reset", "-q", "--hard", tip)
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func withoutAtomicTheGoodRefsAreApplied(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "main")
            let next = try tree.commit("next")
            let stale = String(repeating: "1", count: 40)
            let answer = try site.push(
                to: repository,
                PushBody(
                    [
                        .init(old: stale, new: next, "refs/heads/main"),
                        .init(old: nil, new: next, "refs/heads/new"),
                    ],
                    capabilities: "report-status",
                    pack: try tree.pack([next, "^\(tip)"])))
            #expect(answer.status == 200)
            #expect(answer.text.contains("ng refs/heads/main "))
            #expect(answer.text.contains("ok refs/heads/new"))
            try tree.git("branch", "new")
            try tree.git("reset", "-q", "--hard", tip)
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func pushOptionsAreAccepted(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            try tree.commit("more")
            try tree.git("push", "-q", "-o", "ci.skip", "-o", "reviewer=é", "origin", "main")
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores, [0, 2])
        func shallowCloneDeepensAndUnshallows(store: StoreUnderTest, version: Int) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            for number in 1...9 { try tree.commit("file-\(number)") }
            try tree.git("push", "-q", "origin", "main")

            let shallow = try WorkTree.clone(
                site.anonymousURL(repository), "-q", "--depth", "2", "-c",
                "protocol.version=\(version)")
            #expect(try shallow.git("rev-list", "--count", "HEAD") == "2")
            try shallow.git("fetch", "-q", "--deepen=3")
            #expect(try shallow.git("rev-list", "--count", "HEAD") == "5")
            try shallow.git("fetch", "-q", "--unshallow")
            #expect(try shallow.git("rev-list", "--count", "HEAD") == "10")
            try shallow.git("fsck", "--full", "--strict")
        }

        @Test(arguments: stores)
        func shallowCloneMayPushAndDoesNotMakeTheServerShallow(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            for number in 1...3 { try tree.commit("file-\(number)") }
            try tree.git("push", "-q", "origin", "main")
            let shallow = try WorkTree.clone(site.url(repository), "-q", "--depth", "1")
            try shallow.commit("from-shallow")
            try shallow.git("push", "-q", "origin", "main")
            try tree.git("pull", "-q", "--ff-only", "origin", "main")
            #expect(try tree.git("rev-list", "--count", "HEAD") == "5")
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func pushOfAHistoryThatTheServerLacksIsRefused(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            for number in 1...3 { try tree.commit("file-\(number)") }
            try tree.git("push", "-q", "origin", "main")
            let shallow = try WorkTree.clone(site.anonymousURL(repository), "-q", "--depth", "1")
            let empty = try site.create()
            #expect(try !shallow.attempt("push", site.url(empty), "main").succeeded)
            #expect(try shallow.git("ls-remote", site.anonymousURL(empty)) == "")
        }

        @Test(arguments: stores)
        func bloblessCloneFetchesBlobsWhenCheckedOut(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            let old = try tree.commit("a", "old content")
            try tree.commit("a", "new content")
            try tree.git("push", "-q", "origin", "main")

            let partial = try WorkTree.clone(
                site.anonymousURL(repository), "-q", "--filter=blob:none", "--no-checkout")
            let missing = try partial.git(
                "rev-list", "--objects", "--all", "--missing=print"
            ).split(separator: "\n").filter { $0.hasPrefix("?") }
            #expect(missing.count == 3)
            try partial.git("checkout", "-q", "main")
            #expect(try partial.git("show", "HEAD:a") == "new content")
            try partial.git("checkout", "-q", old)
            #expect(try partial.git("show", "HEAD:a") == "old content")
        }

        @Test(arguments: stores)
        func emptyRepositoryIsClonedWithGitsWarning(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let repository = try site.create(nil, "--default-branch", "trunk")
            let (tree, result) = try WorkTree.attemptClone(site.url(repository), [])
            #expect(result.succeeded)
            #expect(result.errors.contains("You appear to have cloned an empty repository."))
            #expect(try tree.git("symbolic-ref", "HEAD") == "refs/heads/trunk")

            try tree.commit("first")
            try tree.git("push", "-q", "origin", "trunk")
            let again = try WorkTree.clone(site.anonymousURL(repository), "-q")
            #expect(try again.git("symbolic-ref", "HEAD") == "refs/heads/trunk")
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores, [0, 2])
        func sha256RepositoryComesBack(store: StoreUnderTest, version: Int) throws {
            let site = try Site.shared(store)
            let repository = try site.create(nil, "--object-format", "sha256")
            let tree = try WorkTree.make(remote: site.url(repository), format: "sha256")
            try tree.git("config", "protocol.version", "\(version)")
            #expect(try tree.commit("a").utf8.count == 64)
            try tree.git("tag", "-a", "-m", "x", "v1")
            try tree.git("push", "-q", "origin", "main", "v1")
            try expectServed(site, repository, equals: tree)

            let copy = try WorkTree.clone(
                site.anonymousURL(repository), "-q", "-c", "protocol.version=\(version)")
            #expect(try copy.git("rev-parse", "--show-object-format") == "sha256")
            try tree.commit("b")
            try tree.git("push", "-q", "origin", "main")
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func sha1PushToASha256RepositoryIsRefused(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let repository = try site.create(nil, "--object-format", "sha256")
            let tree = try WorkTree.make(remote: site.url(repository))
            try tree.commit("a")
            #expect(try !tree.attempt("push", "origin", "main").succeeded)
            #expect(try tree.git("ls-remote", site.anonymousURL(repository)) == "")
        }

        @Test(arguments: stores)
        func pushOfPublishedRefsChangesNothing(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            let pointer = try site.bucket.pointer(of: repository)
            #expect(try tree.attempt("push", "origin", "main").errors.contains("up-to-date"))
            #expect(try site.bucket.pointer(of: repository) == pointer)
        }

        @Test(arguments: stores)
        func branchesThatShareAllObjectsNeedNoPack(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            for number in 1...20 { try tree.git("branch", "b\(number)") }
            try tree.git("push", "-q", "--all", "origin")
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func refsOutsideBranchesAndTagsComeBack(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            try tree.git("notes", "add", "-m", "a note")
            try tree.git("update-ref", "refs/custom/deep/er", "HEAD")
            try tree.git(
                "push", "-q", "origin", "refs/notes/*:refs/notes/*", "refs/custom/*:refs/custom/*")
            let served = try tree.git("ls-remote", "--refs", site.anonymousURL(repository))
            #expect(served.contains("\trefs/custom/deep/er\n"))
            #expect(served.contains("\trefs/notes/commits"))
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func largePushInChunksIsAccepted(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            var random = SystemRandomNumberGenerator()
            let bytes = (0..<(1 << 18)).flatMap { _ in
                withUnsafeBytes(of: random.next()) { Array($0) }
            }
            try tree.commit("random", bytes: bytes)
            // The client sends a probe first, and then a body without a length.
            try tree.git("-c", "http.postBuffer=65536", "push", "-q", "origin", "main")
            try expectServed(site, repository, equals: tree)
        }
    }
}
