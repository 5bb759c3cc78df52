import TestSupport
import Testing

extension EndToEnd {
    /// Packs of imports and compactions that change after git has checked them. P5
    @Suite struct PackBindingTests {
        /// Flips a bit of the pack that `index-pack` was given, its last argument.
        private static func flippingGit() throws -> HarmfulGit {
            try HarmfulGit(
                after: ["index-pack"],
                #"""
                for p; do :; done
                chmod u+w "$p"
                n=$(($(stat -c %s "$p") / 2))
                b=$(od -An -tu1 -j $n -N 1 "$p")
                printf "\\$(printf %o $((b ^ 32)))" | dd of="$p" bs=1 seek=$n conv=notrunc 2>/dev/null
                """#)
        }

        @Test func compactionWhosePackChangesPublishesNothing() throws {
            let git = try Self.flippingGit()
            let site = try Site(
                .file, options: ["--compact-at", "0"], environment: ["PATH": git.searchPath])
            let (repository, tree) = try seeded(site)
            try tree.commit("second")
            try tree.git("push", "-q", "origin", "main")
            let before = try site.bucket.listing()
            try git.begin()
            let result = try site.command("compact", ["--full", repository])
            #expect(!result.succeeded && result.errors.contains("trailer"), "\(result)")
            #expect(try site.bucket.listing() == before)
            git.end()
            try site.command("compact", ["--full", repository]).checked()
            #expect(try site.bucket.packs(of: repository).count == 1)
            try expectServed(site, repository, equals: tree)
        }

        @Test func importWhosePackChangesPublishesNothing() throws {
            let git = try Self.flippingGit()
            let site = try Site(.file, environment: ["PATH": git.searchPath])
            let tree = try WorkTree.make()
            try tree.commit("first")
            let before = try site.bucket.listing()
            try git.begin()
            let result = try site.command("import", [tree.path, "acme/imported"])
            #expect(!result.succeeded && result.errors.contains("trailer"), "\(result)")
            #expect(try site.bucket.listing() == before)
            git.end()
            try site.command("import", [tree.path, "acme/imported"]).checked()
            try expectServed(site, "acme/imported", equals: tree)
        }
    }
}
