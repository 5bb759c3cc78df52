import TestSupport
import Testing

extension EndToEnd {
    @Suite struct LargeRepositoryTests {
        /// A stream for git-fast-import(1): each commit consists of a commit, a blob and two trees.
        private static func stream(commits: Int) -> [UInt8] {
            var stream: [UInt8] = []
            for number in 1...commits {
                let content = "file \(number) of a large repository\n"
                let message = "commit \(number)"
                let path = "d\(number % 97)/f\(number)"
                stream += Array(
                    """
                    commit refs/heads/main
                    committer Test <test@example.org> \(1_700_000_000 + number) +0000
                    data \(message.utf8.count)
                    \(message)
                    M 100644 inline \(path)
                    data \(content.utf8.count)
                    \(content)

                    """.utf8)
            }
            return stream
        }

        @Test(arguments: stores)
        func tensOfThousandsOfObjectsComeBackEachTheSame(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let repository = try site.create()
            let tree = try WorkTree.make(remote: site.url(repository))
            try tree.git("fast-import", "--quiet", input: .bytes(Self.stream(commits: 10_000)))
            let objects = try tree.objects()
            #expect(objects.count { $0 == UInt8(ascii: "\n") } > 39_000)
            try tree.git("push", "-q", "origin", "main")
            try expectServed(site, repository, equals: tree)

            let copy = try WorkTree.clone(site.anonymousURL(repository), "-q", "--mirror")
            #expect(try copy.objects() == objects)

            // Another push, fetched into the clone.
            try tree.git("reset", "-q", "--hard")
            let tip = try tree.commit("after")
            try tree.git("push", "-q", "origin", "main")
            try copy.git("fetch", "-q")
            #expect(try copy.git("rev-parse", "main") == tip)
            #expect(try copy.objects() == tree.objects())
        }

        @Test(arguments: stores)
        func thousandsOfRefsComeBack(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "main")
            let commands = (1...1500).map { "create refs/heads/many/b\($0) \(tip)\n" }.joined()
            try tree.git("update-ref", "--stdin", input: .bytes(Array(commands.utf8)))
            try tree.git("push", "-q", "--all", "origin")
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func manySmallPushesMakeARepositoryThatIsWhole(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            for number in 1...15 {
                try tree.commit("file-\(number % 3)")
                try tree.git("push", "-q", "origin", "main")
            }
            #expect(try site.bucket.packs(of: repository).count == 16)
            try expectServed(site, repository, equals: tree)
        }
    }
}
