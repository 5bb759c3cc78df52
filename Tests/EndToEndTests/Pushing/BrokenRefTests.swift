import TestSupport
import Testing

extension EndToEnd {
    /// A repository whose refs point to objects that none of its packs contains. A store or an
    /// older release may have left it like this. P4
    @Suite struct BrokenRefTests {
        /// A repository without the pack of its last push, which had a commit on `main`, on `topic`
        /// and in the tag `v2`.
        private struct Place {
            let site: Site
            let repository: String
            let tree: WorkTree
            let first: String
            let second: String
            /// The last complete state.
            let whole: String

            init() throws {
                site = try Site.shared(.file)
                (repository, tree) = try seeded(site)
                first = try tree.git("rev-parse", "main")
                let packs = try site.bucket.packs(of: repository)
                second = try tree.commit("second")
                try tree.git("tag", "-a", "-m", "two", "v2")
                try tree.git("push", "-q", "origin", "main", "main:topic", "v2")
                whole = try site.bucket.pointer(of: repository)
                try site.bucket.supersede(repository) { manifest in
                    let list = try #require(manifest.firstRange(of: /"packs":\[[^\]]*\]/))
                    let left = packs.map { "\"packs/\($0)\"" }.joined(separator: ",")
                    manifest.replaceSubrange(list, with: "\"packs\":[\(left)]")
                }
            }

            func attempt(_ refs: String...) throws -> CommandResult {
                try tree.client.run(["push", "-f", "origin"] + refs, in: tree.path)
            }

            func push(_ refs: String...) throws {
                try tree.client.run(["push", "-q", "-f", "origin"] + refs, in: tree.path).checked()
            }

            /// The served refs, including peeled ones.
            func served() throws -> Set<String> {
                Set(
                    try tree.git("ls-remote", site.anonymousURL(repository)).split(separator: "\n")
                        .map { String($0.replacing("\t", with: " ")) })
            }

            /// Expects that a push fails and changes nothing, and that the log contains the command
            /// that helps.
            func expectExplained(
                _ refs: String..., sourceLocation: SourceLocation = #_sourceLocation
            ) throws {
                let before = try site.bucket.pointer(of: repository)
                let result = try tree.client.run(["push", "-f", "origin"] + refs, in: tree.path)
                #expect(!result.succeeded, "\(result)", sourceLocation: sourceLocation)
                #expect(result.errors.contains("500"), "\(result)", sourceLocation: sourceLocation)
                let state = try site.bucket.pointer(of: repository)
                #expect(state == before, sourceLocation: sourceLocation)
                #expect(
                    site.log.contains("git-s3-backend restore \(repository) --manifest \(whole)"),
                    sourceLocation: sourceLocation)
            }
        }

        @Test func settingTheBrokenRefsBackWorks() throws {
            let place = try Place()
            try place.push("\(place.first):refs/heads/main")
            // The other refs are unchanged.
            let tag = try place.tree.git("rev-parse", "v2")
            #expect(
                try place.served() == [
                    "\(place.first) HEAD", "\(place.first) refs/heads/main",
                    "\(place.second) refs/heads/topic", "\(tag) refs/tags/v2",
                    "\(place.second) refs/tags/v2^{}",
                ])
            try place.push("\(place.first):refs/heads/topic", ":refs/tags/v2")
            // Now the client sends the missing objects.
            try place.push("main", "main:topic", "v2")
            try place.tree.git("branch", "topic")
            try expectServed(place.site, place.repository, equals: place.tree)
        }

        @Test func deletingTheBrokenRefsWorks() throws {
            let place = try Place()
            try place.push(":topic")
            try place.push(":refs/tags/v2", "\(place.first):main")
            try place.push("main")
            try place.tree.git("tag", "-d", "v2")
            try expectServed(place.site, place.repository, equals: place.tree)
        }

        @Test func theBranchOfHEADIsNotDeletedThoughBroken() throws {
            let place = try Place()
            for refs in [[":main"], [":main", "\(place.first):topic"]] {
                let result = try place.tree.client.run(
                    ["push", "-f", "origin"] + refs, in: place.tree.path)
                #expect(result.errors.contains("deletion of the current branch"), "\(result)")
            }
            #expect(try place.served().contains("\(place.second) refs/heads/main"))
            #expect(try place.served().contains("\(place.first) refs/heads/topic"))
        }

        @Test func pushThatCannotBeReceivedNamesTheCommandThatHelps() throws {
            let place = try Place()
            // Another ref, and a commit on top of the missing one.
            try place.expectExplained("\(place.first):refs/heads/other")
            let third = try place.tree.commit("third")
            try place.expectExplained("\(third):refs/heads/main")
            // An old value that differs from the published one.
            let answer = try place.site.push(
                to: place.repository,
                PushBody(
                    [.init(old: nil, new: place.first, "refs/heads/main")],
                    capabilities: "report-status", pack: PushBody.emptyPack))
            #expect(answer.status == 500, "\(answer.start)")

            try place.site.command("delete", [place.repository, "--yes"]).checked()
            try place.site.command("restore", [place.repository, "--manifest", place.whole])
                .checked()
            try place.tree.git("branch", "topic", place.second)
            try place.tree.git("reset", "-q", "--hard", place.second)
            try expectServed(place.site, place.repository, equals: place.tree)
        }

        @Test func newRefBelowABrokenOneIsRefused() throws {
            let place = try Place()
            let before = try place.site.bucket.pointer(of: place.repository)
            let result = try place.attempt(
                "\(place.first):refs/heads/main", "\(place.first):refs/heads/topic/sub")
            #expect(!result.succeeded, "\(result)")
            #expect(try place.site.bucket.pointer(of: place.repository) == before)
        }
    }
}
