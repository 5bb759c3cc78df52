import TestSupport
import Testing

extension EndToEnd {
    /// The subjects of git's t5616, and of the filters in t5702.
    @Suite struct PartialMatrixTests {
        /// The objects that a partial clone lacks, sorted.
        private static func missing(in tree: WorkTree) throws -> [String] {
            try tree.git("rev-list", "--objects", "--all", "--missing=print")
                .split(separator: "\n").filter { $0.hasPrefix("?") }.map(String.init).sorted()
        }

        private static let filters = [
            "blob:none", "blob:limit=1k", "blob:limit=0", "tree:0", "object:type=commit",
            "combine:blob:none+tree:0",
        ]

        @Test(arguments: fronts) func filtersLeaveOutWhatTheyLeaveOutByGit(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.published()
                let count = try History.shared.get().tree.objects()
                    .count { $0 == UInt8(ascii: "\n") }
                for filter in Self.filters {
                    let tree = try session.clone(repository, "-q", "--bare", "--filter=\(filter)")
                    let missing = try Self.missing(in: tree)
                    #expect(!missing.isEmpty && missing.count < count, "\(filter)")
                    session.note(filter, missing)
                }
                // The same with an old client, and with one that repeats it.
                for version in 0...1 {
                    let tree = try session.clone(
                        repository, "-q", "--bare", "--filter=blob:none", "-c",
                        "protocol.version=\(version)")
                    session.note("by version \(version)", try Self.missing(in: tree))
                }
                let twice = try session.clone(
                    repository, "-q", "--bare", "--filter=blob:none", "--filter=tree:0")
                session.note("twice", try Self.missing(in: twice))
            }
        }

        // G7
        @Test(arguments: fronts) func expensiveFiltersAreRefusedInGitsWords(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.published()
                for (filter, reason) in [
                    ("sparse:oid=main:.sparse", "filter 'sparse:oid' not supported"),
                    ("sparse:oid=none", "filter 'sparse:oid' not supported"),
                    ("tree:1", "tree filter allows max depth 0, but got 1"),
                    ("combine:blob:none+tree:2", "tree filter allows max depth 0, but got 2"),
                    (
                        "combine:blob:none+sparse:oid=main:.sparse",
                        "filter 'sparse:oid' not supported"
                    ),
                ] {
                    for version in ["0", "2"] {
                        let (_, run) = try session.attemptClone(
                            repository,
                            ["-c", "protocol.version=\(version)", "--filter=\(filter)"])
                        #expect(!run.succeeded)
                        #expect(run.errors.contains(reason), "\(run)")
                    }
                }
            }
        }

        @Test(arguments: fronts, [0, 2])
        func missingBlobsAreFetchedWhenNeeded(front: Front, version: Int) throws {
            try sameAsGit(front, "\(version)") { session in
                let repository = try session.published()
                let tree = try session.clone(
                    repository, "-q", "--filter=blob:none", "--no-checkout", "-c",
                    "protocol.version=\(version)")
                let checkout = try session.git(tree, "checkout", "-q", "main")
                #expect(try tree.git("show", "HEAD:small") == "8")
                // One request, and no list of refs if the protocol does not require one.
                #expect(checkout.requests.count == 2, "\(checkout)")
                #expect(!checkout.packets.contains { $0.contains("command=ls-refs") })
                try session.git(tree, "diff", "--stat", "main~7", "main")
                try session.git(tree, "blame", "-s", "small")
                try session.git(tree, "log", "-p", "--format=%s", "--", "big")
                try session.git(tree, "cat-file", "-p", "main~2:small")
                try session.git(tree, "switch", "-q", "--detach", "v1")

                // The remaining objects, by their ids.
                let missing = try Self.missing(in: tree).map { String($0.dropFirst()) }
                #expect(!missing.isEmpty)
                try tree.git(
                    "fetch", "-q", "--stdin", "origin",
                    input: .bytes(Array(missing.joined(separator: "\n").utf8)))
                #expect(try Self.missing(in: tree).isEmpty)
                let fsck = try tree.attempt("fsck", "--full", "--strict", "--no-dangling")
                #expect(fsck.succeeded, "\(fsck)")
            }
        }

        @Test(arguments: fronts) func treesAndWholeCommitsAreFetchedToo(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.published()
                let tree = try session.clone(repository, "-q", "--filter=tree:0")
                #expect(try tree.git("status", "--porcelain") == "")
                try session.git(tree, "ls-tree", "-r", "--name-only", "main~4")
                try session.git(tree, "log", "--format=%s", "--", "dir/sub/file-3")
                session.note("missing", try Self.missing(in: tree))

                let shallow = try session.clone(
                    repository, "-q", "--depth=1", "--filter=blob:none", "--no-checkout")
                try session.git(shallow, "checkout", "-q", "main")
                try session.git(shallow, "fetch", "-q", "--unshallow")
                #expect(try shallow.git("rev-list", "--count", "HEAD") == "8")
                session.note("missing", try Self.missing(in: shallow))
            }
        }

        @Test(arguments: fronts) func fetchInheritsOverridesAndDropsTheFilter(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.publish()
                let writer = try session.clone(repository, "-q")
                let tree = try session.clone(repository, "-q", "--bare", "--filter=blob:none")
                try tree.git("config", "remote.origin.fetch", "+refs/heads/*:refs/heads/*")
                func next(_ arguments: String...) throws -> Int {
                    let before = try Self.missing(in: tree).count
                    try writer.commit("new", "for \(arguments)")
                    try writer.git("push", "-q", "origin", "main")
                    let run = try tree.client.traced(["fetch", "-q"] + arguments, in: tree.path)
                    #expect(run.succeeded, "\(run)")
                    session.note("\(arguments)", session.requests(run))
                    return try Self.missing(in: tree).count - before
                }
                let changes = [
                    try next("origin"), try next("--no-filter", "origin"),
                    try next("--filter=blob:limit=1k", "origin"), try next("origin"),
                    try next("--refetch", "--filter=blob:limit=1k", "origin"),
                    try next("--refetch", "--no-filter", "origin"),
                ]
                // The last filter is remembered; a refetch brings the objects that it had excluded,
                // and objects that arrived before the filter was set do not become missing.
                #expect(changes == [1, 0, 0, 0, -18, -1])
            }
        }

        @Test(arguments: fronts)
        func objectsThatRefsNameAreSentWhateverTheFilter(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.published()
                let blob = try History.shared.get().tree.git("rev-parse", "blob")
                for filter in ["blob:none", "tree:0"] {
                    let tree = try session.clone(
                        repository, "-q", "--bare", "--filter=\(filter)", "-c",
                        "fetch.fsckObjects=true", "-c", "transfer.fsckObjects=true")
                    #expect(try !Self.missing(in: tree).contains("?\(blob)"))
                    try session.git(tree, "fetch", "-q", "origin", blob)
                }
            }
        }

        @Test(arguments: fronts) func partialCloneMayPush(front: Front) throws {
            try sameAsGit(front) { session in
                let repository = try session.publish()
                for filter in ["blob:none", "tree:0"] {
                    let tree = try session.clone(repository, "-q", "--filter=\(filter)")
                    try tree.commit("small", "by \(filter)")
                    try session.git(
                        tree, "push", "origin", "main", "main~5:refs/heads/\(filter.count)")
                }
                let whole = try session.clone(repository, "-q")
                #expect(try whole.git("show", "HEAD:small") == "by tree:0")
                #expect(try Self.missing(in: whole).isEmpty)
                let fsck = try whole.attempt("fsck", "--full", "--strict", "--no-dangling")
                #expect(fsck.succeeded, "\(fsck)")
            }
        }
    }
}
