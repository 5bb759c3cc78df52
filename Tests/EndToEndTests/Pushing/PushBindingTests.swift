import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// Pushes whose pack disappears or changes after git has received it.
    @Suite struct PushBindingTests {
        /// The git commands that the program may run after receive-pack.
        private static let last = ["for-each-ref", "show-ref", "cat-file"]

        /// Changes to the received pack `$p` and its index `$i`.
        enum Harm: String, CaseIterable, Sendable {
            // P1
            case packVanishes = #"rm -f "$p""#
            case packAndIndexVanish = #"rm -f "$p" "$i""#
            case indexVanishes = #"rm -f "$i""#
            case packDirectoryVanishes = "rm -rf objects/pack"
            case objectsVanish = "rm -rf objects"
            case workspaceVanishes = #"rm -rf "$PWD""#
            // P5
            case packFlips = #"flip "$p""#
            case indexFlips = #"flip "$i""#
            case packIsCut = #"truncate -s -1 "$p""#
            case packIsEmptied = #": >"$p""#
            case indexIsCut = #"truncate -s -1 "$i""#
            // Valid packs, but not the right one.
            case packShrinks = #"cp "$SMALL.pack" "$p"; cp "$SMALL.idx" "$i""#
            case packGrows = #"cp "$LARGE.pack" "$p"; cp "$LARGE.idx" "$i""#
            case anotherAppears =
                #"cp "$SMALL.pack" "${p%/*}/pack-0.pack"; cp "$SMALL.idx" "${p%/*}/pack-0.idx""#
            case objectsAppear = "mkdir objects/aa"

            /// A script for a repository that already has packs: their names are longer.
            func script(small: String, large: String) -> String {
                """
                SMALL='\(small)'
                LARGE='\(large)'
                flip() {
                    chmod u+w "$1"
                    n=$(($(stat -c %s "$1") / 2))
                    b=$(od -An -tu1 -j $n -N 1 "$1")
                    printf "\\\\$(printf %o $((b ^ 32)))" |
                        dd of="$1" bs=1 seek=$n conv=notrunc 2>/dev/null
                }
                for p in objects/pack/pack-*.pack; do
                    n=${p##*/pack-}
                    [ ${#n} = 45 ] || continue
                    i=${p%.pack}.idx
                    chmod u+w "$p" "$i"
                    \(rawValue)
                    break
                done
                """
            }
        }

        /// Two packs created by git, of 1 and of more than 20 objects, by their paths without
        /// extensions.
        private struct OtherPacks {
            let tree: WorkTree
            let small: String
            let large: String

            init() throws {
                tree = try WorkTree.make()
                for number in 0..<8 { try tree.commit("file-\(number)") }
                small = try Self.pack(in: tree, "small", try tree.git("rev-parse", "HEAD^{tree}"))
                large = try Self.pack(
                    in: tree, "large", try tree.git("rev-list", "--objects", "HEAD"))
            }

            private static func pack(
                in tree: WorkTree, _ name: String, _ objects: String
            ) throws -> String {
                let ids = objects.split(separator: "\n").map { $0.prefix(40) + "\n" }.joined()
                let made = try tree.git(
                    "pack-objects", "-q", "\(tree.path)/\(name)", input: .bytes(Array(ids.utf8)))
                return "\(tree.path)/\(name)-\(made)"
            }
        }

        @Test(arguments: Harm.allCases)
        func pushWhosePackVanishesOrChangesIsRefused(harm: Harm) throws {
            let others = try OtherPacks()
            let git = try HarmfulGit(
                after: Self.last, harm.script(small: others.small, large: others.large))
            let site = try Site(.file, environment: ["PATH": git.searchPath])
            let (repository, tree) = try seeded(site)
            let before = try site.bucket.listing()
            let tip = try tree.git("rev-parse", "main")
            let next = try tree.commit("second")

            try git.begin()
            let answer = try site.push(
                to: repository,
                PushBody(
                    [.init(old: tip, new: next, "refs/heads/main")],
                    capabilities: "report-status", pack: try tree.pack([next, "^\(tip)"])))
            #expect(answer.status == 500, "\(answer.start) \(answer.text)")
            let push = try tree.attempt("push", "origin", "main")
            #expect(!push.succeeded, "\(push)")
            #expect(try site.bucket.listing() == before)
            git.end()

            try tree.git("push", "-q", "origin", "main")
            try expectServed(site, repository, equals: tree)
            #expect(try site.instance.workspaces() == [])
        }

        @Test(arguments: ["sha1", "sha256"], ["rm -f", "flip"])
        func firstPushWhosePackIsLostCreatesNothing(format: String, harm: String) throws {
            let git = try HarmfulGit(
                after: Self.last,
                Harm.packFlips.script(small: "", large: "")
                    .replacing("[ ${#n} = 45 ]", with: ":")
                    .replacing("flip \"$p\"", with: "\(harm) \"$p\""))
            let site = try Site(.file, environment: ["PATH": git.searchPath])
            let repository = try site.create(nil, "--object-format", format)
            let tree = try WorkTree.make(remote: site.url(repository), format: format)
            try tree.commit("first")
            try tree.git("tag", "-a", "-m", "one", "v1")
            let before = try site.bucket.listing()
            try git.begin()
            // Nothing is inferred about an object that disappeared, not even from the peeled tag.
            for refs in [["main"], ["v1"], ["main", "v1"]] {
                let push = try tree.client.run(["push", "origin"] + refs, in: tree.path)
                #expect(!push.succeeded, "\(push)")
            }
            #expect(try site.bucket.listing() == before)
            git.end()
            try tree.git("push", "-q", "origin", "main", "v1")
            try expectServed(site, repository, equals: tree)
        }

        @Test func pushesWithoutObjectsNeedNoPack() throws {
            let git = try HarmfulGit(
                after: Self.last, Harm.packVanishes.script(small: "", large: ""))
            let site = try Site(.file, environment: ["PATH": git.searchPath])
            let (repository, tree) = try seeded(site)
            let tip = try tree.git("rev-parse", "main")
            try git.begin()
            // An empty pack, from the client and handmade.
            try tree.git("push", "-q", "origin", "main:refs/heads/copy")
            let empty = try site.push(
                to: repository,
                PushBody(
                    [.init(old: nil, new: tip, "refs/heads/other")],
                    capabilities: "report-status", pack: PushBody.emptyPack))
            #expect(empty.text.contains("ok refs/heads/other"), "\(empty.text)")
            // No pack.
            try tree.git("push", "-q", "origin", ":copy")
            // Both at once.
            try tree.git("push", "-q", "origin", ":other", "main:refs/heads/third")
            // Refused, with objects.
            let next = try tree.commit("second")
            let refused = try site.push(
                to: repository,
                PushBody(
                    [.init(old: next, new: next, "refs/heads/main")],
                    capabilities: "report-status", pack: try tree.pack([next, "^\(tip)"])))
            #expect(refused.status == 200 && refused.text.contains("ng refs/heads/main"))
            git.end()

            try tree.git("reset", "-q", "--hard", tip)
            try tree.git("branch", "third")
            try expectServed(site, repository, equals: tree)
            #expect(try site.bucket.packs(of: repository).count == 1)
        }

        @Test(arguments: ["vanishes", "flips"])
        func pushThatIsReceivedAgainFromALostPackIsRefused(loss: String) throws {
            let held = try Held(at: "push-stored")
            try held.release()
            try held.tree.commit("second")
            try held.tree.git("push", "-q", "origin", "main")
            try held.shut()
            let tip = try held.tree.git("rev-parse", "main")
            try held.tree.commit("third")
            let push = Background { try held.tree.attempt("push", "origin", "main") }
            try held.waitUntilHeld()
            let outcome = Result {
                // As a result, the push has to be received again.
                try held.site.command("compact", ["--full", held.repository]).checked()
                let pack = try #require(try Self.keptPack(in: held.site))
                if loss == "vanishes" {
                    Files.removeTree(pack)
                } else {
                    var bytes = try Files.read(pack)
                    bytes[bytes.count / 2] ^= 0x20
                    try Files.write(bytes, to: pack)
                }
            }
            let state = try held.site.bucket.pointer(of: held.repository)
            try held.release()
            let result = try push.value()
            try outcome.get()
            #expect(!result.succeeded, "\(result)")
            #expect(try held.site.bucket.pointer(of: held.repository) == state)
            try held.tree.git("reset", "-q", "--hard", tip)
            try expectServed(held.site, held.repository, equals: held.tree)
        }

        /// The received pack of the held push.
        private static func keptPack(in site: Site) throws -> String? {
            let root = site.instance.stateDirectory + "/workspaces"
            for workspace in try site.instance.workspaces() {
                let directory = "\(root)/\(workspace)/objects/pack"
                let name = try Files.names(in: directory).first {
                    $0.hasSuffix(".pack") && $0.utf8.count == 50
                }
                if let name { return "\(directory)/\(name)" }
            }
            return nil
        }
    }
}
