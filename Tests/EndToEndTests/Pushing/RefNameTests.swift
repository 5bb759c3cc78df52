import TestSupport
import Testing

extension EndToEnd {
    @Suite struct RefNameTests {
        /// `é` as one scalar and as two: equal Swift strings, but different refs.
        private static let composed = "caf\u{e9}"
        private static let decomposed = "cafe\u{301}"
        private static let names = [
            composed, decomposed, "feature/#12", "v1.0+b", "a\"b", "100%25", "a&b=c", "ünïcödé/日本",
            "x@y", "dash-", "UPPER/lower", "a'b$c", "semi;colon,comma",
        ]

        @Test(arguments: stores)
        func unusualNamesComeBackByteForByte(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            for name in Self.names {
                let id = try tree.commit("file", "for \(name)")
                try tree.git("update-ref", "refs/heads/\(name)", id)
                try tree.git("update-ref", "refs/tags/\(name)", id)
            }
            try tree.git("push", "-q", "origin", "--all")
            try tree.git("push", "-q", "origin", "--tags")
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func deletingOneFormOfANameLeavesTheOther(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            try tree.git("update-ref", "refs/heads/\(Self.composed)", "HEAD")
            try tree.git("push", "-q", "origin", "--all")
            try tree.commit("more")
            try tree.git("update-ref", "refs/heads/\(Self.decomposed)", "HEAD")
            try tree.git("push", "-q", "origin", "--all")
            try expectServed(site, repository, equals: tree)

            try tree.git("update-ref", "-d", "refs/heads/\(Self.composed)")
            try tree.git("push", "-q", "origin", ":refs/heads/\(Self.composed)")
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func unsafeNameRefusesAnAtomicPush(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "main")
            let bad: [[UInt8]] = [
                Array("refs/heads/a..b".utf8), Array("refs/heads/a.lock".utf8),
                Array("refs/heads/".utf8), Array("HEAD".utf8), Array("refs/heads/a b".utf8),
                Array("refs/heads/a~1".utf8), Array("refs/../../x".utf8),
                Array("refs/heads/".utf8) + [0xff, 0xfe], Array("refs/heads/a\u{7f}".utf8),
                Array("refs/heads/@{".utf8), Array("refs/heads//b".utf8),
            ]
            for name in bad {
                let answer = try site.push(
                    to: repository,
                    PushBody(
                        [
                            .init(old: nil, new: tip, name),
                            .init(old: nil, new: tip, "refs/heads/fine"),
                        ],
                        capabilities: "report-status atomic", pack: PushBody.emptyPack))
                #expect(answer.status == 200, "\(text(name))")
                #expect(!answer.text.contains("ok refs/"), "\(text(name)): \(answer.text)")
                #expect(
                    answer.text.contains("ng refs/heads/fine atomic push failure"),
                    "\(text(name)): \(answer.text)")
            }
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func branchAndDirectoryOfOneNameAreRefused(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            #expect(try !tree.attempt("push", "origin", "main:refs/heads/main/sub").succeeded)
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func deletingTheDefaultBranchIsRefused(store: StoreUnderTest) throws {
            let site = try Site.shared(store)
            let (repository, tree) = try seeded(site)
            #expect(try !tree.attempt("push", "origin", ":main").succeeded)
            try expectServed(site, repository, equals: tree)
        }
    }
}
