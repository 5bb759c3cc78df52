import TestSupport
import Testing

extension EndToEnd {
    /// Every front on every store, and concurrent clients.
    @Suite struct ServingMatrixTests {
        @Test(arguments: fronts, stores)
        func everythingInShortOnEveryStore(front: Front, store: StoreUnderTest) throws {
            let site = try front.shared(store)
            let source = try History.shared.get().tree
            let repository = try History.shared.get().publish(to: site)
            try expectServed(site, repository, equals: source)

            let shallow = try WorkTree.clone(site.url(repository), "-q", "--depth=2")
            let partial = try WorkTree.clone(site.anonymousURL(repository), "-q", "--filter=tree:0")
            #expect(
                try partial.git("log", "-1", "--format=%s", "--", "dir/sub/file-3") == "commit 3")
            let tip = try shallow.commit("new")
            try shallow.git("push", "-q", "--atomic", "-o", "x", "origin", "main", ":topic")
            try partial.git("fetch", "-q", "--prune", "origin")
            #expect(try partial.git("rev-parse", "origin/main") == tip)
            try shallow.git("fetch", "-q", "--unshallow", "--tags", "origin")
            let whole = try WorkTree.clone(site.anonymousURL(repository), "-q", "--mirror")
            #expect(try whole.refs() != source.refs())
            try expectServed(site, repository, equals: whole)
        }

        @Test(arguments: fronts)
        func cloneDuringPushesSeesOneCompleteState(front: Front) throws {
            let site = try front.shared()
            let (repository, tree) = try seeded(site)
            let before = try tree.git("rev-parse", "HEAD")
            let writer = Background {
                try (1...6).map { number in
                    let tip = try tree.commit("file-\(number)")
                    try tree.git("push", "-q", "origin", "main")
                    return tip
                }
            }
            // Each clone starts while pushes are running.
            let seen = try concurrently(2) { _ in
                var seen: [String] = []
                repeat {
                    let copy = try WorkTree.clone(site.anonymousURL(repository), "-q")
                    try copy.git("fsck", "--full", "--strict")
                    seen.append(try copy.git("rev-parse", "HEAD"))
                } while !writer.isDone
                return seen
            }
            let states = [before] + (try writer.value())
            for tips in seen {
                let places = tips.compactMap { states.firstIndex(of: $0) }
                #expect(places.count == tips.count, "a state that never was: \(tips)")
                #expect(places == places.sorted(), "back in time: \(places)")
            }
            try expectServed(site, repository, equals: tree)
        }

        /// From t5545 and t5616. The parent refers to the submodule by a relative URL.
        @Test(arguments: fronts) func submodulesAreClonedAndPushedWithTheirParent(
            front: Front
        ) throws {
            let site = try front.shared()
            let part = try History.shared.get().publish(to: site)
            let (whole, tree) = try seeded(site)
            let name = try #require(part.split(separator: "/").last)
            try tree.git("submodule", "-q", "add", "../\(name).git", "part")
            try tree.git("commit", "-q", "-m", "with a part")
            try tree.git("push", "-q", "origin", "main")

            let copy = try WorkTree.clone(
                site.url(whole), "-q", "--recurse-submodules", "--filter=blob:none", "-c",
                "transfer.fsckObjects=true")
            #expect(try copy.git("-C", "part", "log", "-1", "--format=%s") == "commit 8")
            try copy.git("-C", "part", "switch", "-q", "-C", "main")
            try copy.git("-C", "part", "commit", "-q", "--allow-empty", "-m", "new")
            try copy.git("commit", "-q", "-a", "-m", "a newer part")
            try copy.git(
                "push", "-q", "-o", "both", "--recurse-submodules=on-demand", "origin", "main")
            try tree.git("pull", "-q", "--recurse-submodules", "origin", "main")
            #expect(
                try tree.git("-C", "part", "rev-parse", "HEAD")
                    == copy.git("-C", "part", "rev-parse", "HEAD"))
        }

        /// The server of git 2.39 advertises no bundles, but a client may have one from elsewhere.
        @Test(arguments: fronts) func bundleOfTheClientsIsBuiltUpon(front: Front) throws {
            let bundle = try TemporaryDirectory()
            let file = bundle.path + "/bundle"
            try History.shared.get().tree.git("bundle", "create", "-q", file, "v1", "topic")
            try sameAsGit(front) { session in
                let url = session.host.url(try session.published())
                let (tree, clone) = try WorkTree.tracedClone(url, ["-q", "--bundle-uri=\(file)"])
                #expect(clone.succeeded, "\(clone)")
                session.note("requests", session.requests(clone))
                // Objects of the bundle are not requested again.
                #expect(clone.packets.contains { $0.contains("> have ") }, "\(clone)")
                try tree.git("fsck", "--full", "--strict", "--no-dangling")
                session.note("refs", try tree.git("for-each-ref", "refs/heads", "refs/remotes"))
            }
        }
    }
}
