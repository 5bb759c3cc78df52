import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct ListAndShowTests {
        @Test(arguments: stores)
        func listIsInByteOrder(store: StoreUnderTest) throws {
            let site = try Site(store)
            // Their keys are ordered differently: '-' sorts before '/'.
            let names = ["a/b", "a/b-c", "a/b.c", "a/bc", "B/z", "a-b/c", "a/gone", "a/moved"]
            for name in names { try site.create(name) }
            try site.command("delete", ["--yes", "a/gone"]).checked()
            try site.command("rename", ["a/moved", "a/renamed"]).checked()
            #expect(
                try site.command("list", []).checked().text
                    == "B/z\na-b/c\na/b\na/b-c\na/b.c\na/bc\na/renamed\n")
            #expect(try site.command("list", ["--deleted"]).checked().text == "a/gone\na/moved\n")
        }

        @Test func listOfAnEmptyStoreIsEmpty() throws {
            #expect(try CommandPlace().run(["list"]).checked().text == "")
        }

        @Test func listAsJSONIsOneObjectALine() throws {
            let place = try CommandPlace()
            try place.run(["create", "a/one", "--default-branch", "trunk"]).checked()
            try place.run(["create", "a/two", "--object-format", "sha256"]).checked()
            let bucket = "\(place.directory.path)/store/repos"
            let one = text(try Files.read("\(bucket)/a/one/pointer"))
            let two = text(try Files.read("\(bucket)/a/two/pointer"))
            #expect(
                try place.run(["list", "--json"]).checked().text == """
                    {"name":"a/one","deleted":false,"manifest":"\(one)","parent":null,\
                    "head":"refs/heads/trunk","objectFormat":"sha1","refCount":0,"packCount":0}
                    {"name":"a/two","deleted":false,"manifest":"\(two)","parent":null,\
                    "head":"refs/heads/main","objectFormat":"sha256","refCount":0,"packCount":0}

                    """)
            try place.run(["delete", "--yes", "a/one"]).checked()
            let tombstone = text(try Files.read("\(bucket)/a/one/pointer"))
            #expect(
                try place.run(["list", "--json", "--deleted"]).checked().text == """
                    {"name":"a/one","deleted":true,"manifest":"\(tombstone)","parent":"\(one)",\
                    "head":"refs/heads/trunk","objectFormat":"sha1","refCount":0,"packCount":0}

                    """)
        }

        @Test func listNamesWhatItCannotReadAndGoesOn() throws {
            let place = try CommandPlace()
            for number in 0..<40 { try place.run(["create", "a/r\(number)"]).checked() }
            try Files.write(
                Array("x".utf8), to: "\(place.directory.path)/store/repos/a/r7/pointer")
            let result = try place.run(["list"])
            #expect(result.ending == .exited(1))
            #expect(result.text.split(separator: "\n").count == 39)
            #expect(
                result.errors
                    == "git-s3-backend: a/r7: 'repos/a/r7/pointer' is corrupt: expected 64 "
                    + "lower-case hex digits.\n")
        }

        @Test func showAsJSONTellsThePublishedState() throws {
            let site = try Site.shared(.file)
            let (repository, tree) = try seeded(site)
            try tree.git("tag", "-a", "-m", "x", "\u{e9}\"1")
            let parent = try site.bucket.pointer(of: repository)
            try tree.git("push", "-q", "origin", "\u{e9}\"1")
            let tip = try tree.git("rev-parse", "main")
            let tag = try tree.git("rev-parse", "\u{e9}\"1")
            let digest = try site.bucket.pointer(of: repository)
            let packs = try site.bucket.packs(of: repository)
            let beginning = """
                {"name":"\(repository)","deleted":false,"manifest":"\(digest)","parent":\
                "\(parent)","head":"refs/heads/main","objectFormat":"sha1","refs":[{"name":\
                "refs/heads/main","id":"\(tip)"},{"name":"refs/tags/\u{e9}\\"1","id":"\(tag)",\
                "peeled":"\(tip)"}],"packs":[
                """
            let keys = packs.map { "{\"key\":\"packs/\($0)\"}" }.joined(separator: ",")
            #expect(
                try site.command("show", ["--json", repository]).checked().text
                    == "\(beginning)\(keys)]}\n")
            let sizes = try packs.map { pack in
                let size = try site.bucket.read(.pack(pack))?.count ?? 0
                return (
                    json: "{\"key\":\"packs/\(pack)\",\"size\":\(size)}",
                    text: "  packs/\(pack) (\(size) bytes)\n"
                )
            }
            #expect(
                try site.command("show", ["--json", "--sizes", repository]).checked().text
                    == "\(beginning)\(sizes.map(\.json).joined(separator: ","))]}\n")
            #expect(
                try site.command("show", ["--sizes", repository]).checked().text
                    .contains("packs          2\n\(sizes.map(\.text).joined())refs "))
        }

        // L1: U+009B starts an escape sequence, and U+202E reverses the text after it.
        @Test func namesOfRefsMoveNoCursor() throws {
            let site = try Site.shared(.file)
            let (repository, tree) = try seeded(site)
            try tree.git("push", "-q", "origin", "main:refs/heads/\u{e9}\u{9b}2J\u{202e}x")
            let shown = try site.command("show", [repository]).checked().text
            #expect(
                shown.contains(#" refs/heads/\#u{e9}\xc2\x9b2J\xe2\x80\xaex"# + "\n"), "\(shown)")
        }

        @Test func showAsJSONTellsADeletedRepositoryToo() throws {
            let place = try CommandPlace()
            try place.run(["create", "a/b"]).checked()
            let pointer = "\(place.directory.path)/store/repos/a/b/pointer"
            let last = text(try Files.read(pointer))
            try place.run(["delete", "--yes", "a/b"]).checked()
            let tombstone = text(try Files.read(pointer))
            #expect(
                try place.run(["show", "--json", "a/b"]).checked().text == """
                    {"name":"a/b","deleted":true,"manifest":"\(tombstone)","parent":"\(last)",\
                    "head":"refs/heads/main","objectFormat":"sha1","refs":[],"packs":[]}

                    """)
            let none = try place.run(["show", "--json", "a/none"])
            #expect(none.ending == .exited(1) && none.output.isEmpty)
        }

        @Test func showGoesBackToAnyStateThatTheRepositoryHad() throws {
            let place = try CommandPlace()
            try place.run(["create", "a/b"]).checked()
            let pointer = "\(place.directory.path)/store/repos/a/b/pointer"
            let digest = text(try Files.read(pointer))
            let first = try place.run(["show", "a/b"]).checked().text
            try place.run(["delete", "--yes", "a/b"]).checked()
            let tombstone = text(try Files.read(pointer))
            try place.run(["create", "a/b"]).checked()
            #expect(try place.run(["show", "a/b", "--manifest", digest]).checked().text == first)
            #expect(
                try place.run(["show", "a/b", "--manifest", tombstone]).checked().text
                    .hasPrefix("repository     a/b (deleted)\nmanifest       \(tombstone)\n"))
            let none = String(repeating: "0", count: 64)
            let result = try place.run(["show", "a/b", "--manifest", none])
            #expect(result.ending == .exited(1))
            #expect(
                result.errors.hasPrefix(
                    "git-s3-backend: '\(none)' was never a state of 'a/b'."))
        }
    }
}
