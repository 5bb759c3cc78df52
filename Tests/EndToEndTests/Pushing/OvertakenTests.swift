import Bytes
import ObjectStore
import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// A push that is held after its workspace was created, while the repository changes.
    @Suite struct OvertakenTests {
        private struct Held {
            let site: Site
            /// A site on the same store that holds no pushes.
            let direct: Site
            let barrier: TemporaryDirectory
            let repository: String
            let tree: WorkTree

            init(_ store: StoreUnderTest = .file, options: [String] = []) throws {
                let barrier = try TemporaryDirectory()
                self.barrier = barrier
                var setup = ServerProcess.Setup(try store.makeBucket())
                direct = try Site(setup)
                setup.options = options
                setup.environment = [
                    "GIT_S3_BACKEND_FAULT": "push-hydrated=barrier:\(barrier.path)"
                ]
                site = try Site(setup)
                (repository, tree) = try seeded(direct)
                try tree.git("remote", "set-url", "origin", direct.url(repository))
                try tree.commit("second")
                try tree.git("push", "-q", "origin", "main")
            }

            /// Pushes, runs `meanwhile` once the push is held, and releases it.
            func push(
                _ arguments: String..., meanwhile: () throws -> Void
            ) throws -> CommandResult {
                let url = site.url(repository)
                let push = Background {
                    try tree.client.run(["push", url] + arguments, in: tree.path)
                }
                try wait(for: "the push to be held") {
                    try !Files.names(in: barrier.path).isEmpty
                }
                // Even if this throws, the push must be released.
                let outcome = Result { try meanwhile() }
                try barrier.file("go", "")
                let result = try push.value()
                try outcome.get()
                return result
            }

            func served() throws -> String {
                try tree.git("ls-remote", direct.anonymousURL(repository))
            }
        }

        @Test(arguments: stores)
        func pushGoesThroughThoughThePacksWereFolded(store: StoreUnderTest) throws {
            let held = try Held(store)
            let tip = try held.tree.commit("third")
            let result = try held.push("main") {
                try held.direct.bucket.fold(held.repository, through: held.direct)
            }
            #expect(result.succeeded, "\(result)")
            #expect(try held.served().contains("\(tip)\trefs/heads/main"))
            #expect(try held.direct.bucket.packs(of: held.repository).count == 2)
            try expectServed(held.direct, held.repository, equals: held.tree)
            #expect(try held.site.instance.workspaces() == [])
        }

        @Test func branchWhoseBaseWasDeletedAndFoldedAwayIsRefused() throws {
            let held = try Held()
            try held.tree.git("checkout", "-q", "-b", "base")
            try held.tree.commit("base")
            try held.tree.git("push", "-q", "origin", "base")
            try held.tree.git("checkout", "-q", "-b", "topic")
            try held.tree.commit("topic")
            let result = try held.push("topic") {
                try held.tree.git("push", "-q", "origin", ":base")
                try held.direct.bucket.fold(held.repository, through: held.direct)
            }
            #expect(!result.succeeded, "\(result)")
            #expect(result.errors.contains("[remote rejected] topic -> topic"), "\(result)")
            #expect(try !held.served().contains("refs/heads/topic"))
            let copy = try WorkTree.clone(held.direct.anonymousURL(held.repository), "-q")
            try copy.git("fsck", "--full", "--strict", "--no-dangling")
        }

        @Test func branchOnADeletedBaseIsPublished() throws {
            let held = try Held()
            try held.tree.git("checkout", "-q", "-b", "base")
            try held.tree.commit("base")
            try held.tree.git("push", "-q", "origin", "base")
            try held.tree.git("checkout", "-q", "-b", "topic")
            let tip = try held.tree.commit("topic")
            let result = try held.push("topic") {
                try held.tree.git("push", "-q", "origin", ":base")
            }
            #expect(result.succeeded, "\(result)")
            #expect(try held.served().contains("\(tip)\trefs/heads/topic"))
            let copy = try WorkTree.clone(held.direct.anonymousURL(held.repository), "-q")
            try copy.git("fsck", "--full", "--strict", "--no-dangling")
        }

        @Test(arguments: [("topic", "topic/sub"), ("topic/sub", "topic")])
        func branchThatIsADirectoryOfAnotherIsRefused(first: String, second: String) throws {
            let held = try Held()
            let result = try held.push("main:\(second)", "main:other") {
                try held.tree.git("push", "-q", "origin", "main:\(first)")
            }
            #expect(!result.succeeded, "\(result)")
            #expect(result.errors.contains("[remote rejected] main -> \(second)"), "\(result)")
            #expect(result.errors.contains("main -> other"))
            let names = try held.served().split(separator: "\n")
                .map { $0.dropFirst("refs/heads/".count + 41) }
            #expect(Set(names).isSuperset(of: ["main", "other", first[...]]))
            #expect(!names.contains(second[...]))
        }

        @Test func receivingAgainKeepsALongPushAlive() throws {
            let held = try Held(options: ["--push-keepalive", "50ms", "--max-git", "1"])
            let tip = try held.tree.commit("third")
            let result = try held.push("main") {
                try held.direct.bucket.fold(held.repository, through: held.direct)
                let end = ContinuousClock.now + .milliseconds(300)
                try wait(for: "the answer to begin") { ContinuousClock.now >= end }
            }
            #expect(result.succeeded, "\(result)")
            #expect(try held.served().contains("\(tip)\trefs/heads/main"))
        }

        @Test func repositoryDeletedDuringAPushIsReported() throws {
            let held = try Held()
            try held.tree.commit("third")
            let result = try held.push("main") {
                try held.direct.bucket.bury(held.repository)
            }
            #expect(!result.succeeded)
            #expect(result.errors.contains("the repository was deleted"), "\(result)")
            #expect(try held.direct.advertisement(held.repository).status == 404)
        }
    }
}

extension Bucket {
    /// Merges the packs of a repository into that of a fresh clone, as a program might that knows
    /// only the format: objects that no ref reaches are dropped.
    fileprivate func fold(_ repository: String, through site: Site) throws {
        let copy = try WorkTree.clone(site.anonymousURL(repository), "-q", "--mirror")
        let directory = copy.path + "/objects/pack"
        let name = try #require(
            try Files.names(in: directory).first { $0.hasSuffix(".pack") })
        let pack = try Files.read("\(directory)/\(name)")
        let digest = Digest(of: pack).hex
        try overwrite(.pack(digest), with: pack)
        try overwrite(
            .index(digest), with: try Files.read("\(directory)/\(name.dropLast(5)).idx"))
        try supersede(repository) { manifest in
            let packs = try #require(manifest.firstRange(of: /"packs":\[[^\]]*\]/))
            manifest.replaceSubrange(packs, with: "\"packs\":[\"packs/\(digest)\"]")
        }
    }

    /// Deletes a repository.
    fileprivate func bury(_ repository: String) throws {
        try supersede(repository) { manifest in
            manifest =
                #"{"version":2,"head":"refs/heads/main","refs":{},"packs":[],"parent":null}"#
        }
    }

    /// Publishes a changed manifest, on top of the current one.
    func supersede(
        _ repository: String, _ change: (inout String) throws -> Void
    ) throws {
        let current = try pointer(of: repository)
        var manifest = text(try read(.manifest(current)) ?? [])
        try change(&manifest)
        let parent = try #require(manifest.firstRange(of: /"parent":(null|"[0-9a-f]*")/))
        manifest.replaceSubrange(parent, with: "\"parent\":\"\(current)\"")
        let bytes = Array(manifest.utf8)
        try overwrite(.manifest(Digest(of: bytes).hex), with: bytes)
        try overwrite(.pointer(repository), with: Array(Digest(of: bytes).hex.utf8))
    }
}
