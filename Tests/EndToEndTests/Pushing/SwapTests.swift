import Bytes
import Glibc
import ObjectStore
import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// The guarantees of the pointer's swap, and of the two swaps of a rename, tested with the
    /// program.
    @Suite struct SwapTests {
        /// Adds states on top of the published one, each equal to it, and publishes the last.
        private func plant(_ count: Int, _ repository: String, in bucket: Bucket) throws {
            var digest = try bucket.pointer(of: repository)
            let text = String(
                decoding: try #require(try bucket.read(.manifest(digest))), as: UTF8.self)
            let parts = text.split(separator: "\"parent\":", maxSplits: 1)
            let rest = try #require(parts.last).drop { $0 != "," && $0 != "}" }
            for _ in 0..<count {
                let bytes = Array("\(parts[0])\"parent\":\"\(digest)\"\(rest)".utf8)
                digest = Digest(of: bytes).hex
                try bucket.overwrite(.manifest(digest), with: bytes)
            }
            try bucket.overwrite(.pointer(repository), with: Array(digest.utf8))
        }

        // P8
        @Test(arguments: ["token", "states"])
        func aPushIsPublishedBesideAThousandStates(what: String) throws {
            let held = try Held(at: "push-received")
            let bucket = held.site.bucket
            if what == "token" { try plant(1100, held.repository, in: bucket) }
            try held.tree.commit("in flight")
            let tip = try held.tree.git("rev-parse", "HEAD")
            let push = Background { try held.tree.attempt("push", "origin", "main") }
            try held.waitUntilHeld()
            if what == "token" {
                let pointer = try bucket.pointer(of: held.repository)
                try bucket.overwrite(.pointer(held.repository), with: Array(pointer.utf8))
            } else {
                try plant(1100, held.repository, in: bucket)
            }
            try held.release()
            let result = try push.value()
            #expect(result.succeeded, "\(result)")
            let listed = try held.tree.git(
                "ls-remote", held.site.anonymousURL(held.repository), "refs/heads/main")
            #expect(listed.hasPrefix(tip))
        }

        @Test func aRenamingThatWasKilledIsTakenOverAndThenNotUndone() throws {
            let place = try CommandPlace()
            try place.run(["create", "a/old"]).checked()
            let killed = try place.run(
                ["rename", "a/old", "a/new"], ["GIT_S3_BACKEND_FAULT": "rename-tombstoned=kill"])
            #expect(killed.ending == .signalled(SIGKILL))
            let refused = try place.run(["rename", "a/old", "a/third"])
            #expect(refused.ending == .exited(1))
            // The rename that was killed can no longer be completed as it was started.
            try place.run(["rename", "--resume", "a/old", "a/third"]).checked()
            try place.run(["show", "a/third"]).checked()
            for command in [
                ["restore", "a/old"], ["rename", "--resume", "a/old", "a/new"],
            ] {
                let result = try place.run(command)
                #expect(result.ending == .exited(1))
                #expect(
                    result.errors
                        == "git-s3-backend: 'a/old' was renamed to 'a/third'. Rename 'a/third' "
                        + "instead; if it is deleted, run 'git-s3-backend restore a/third' "
                        + "first.\n")
            }
            // The name that had been reserved for it has no earlier state, and can be used.
            let closed = try place.run(["restore", "a/new"])
            #expect(closed.errors == "git-s3-backend: 'a/new' has no earlier state to restore.\n")
            #expect(try place.run(["show", "a/new"]).errors.contains("'a/new' is deleted."))
            try place.run(["create", "a/new"]).checked()
            try place.run(["rename", "a/third", "a/old"]).checked()
            try place.run(["delete", "--yes", "a/old"]).checked()
            try place.run(["restore", "a/old"]).checked()
            #expect(try place.run(["list"]).checked().text == "a/new\na/old\n")
        }

        // M2
        @Test(.timeLimit(.minutes(5)))
        func aManifestWithVeryManyRefsIsParsedOnceForAll() throws {
            let site = try Site(.file)
            let repository = try site.create()
            let id = String(repeating: "a", count: 40)
            var json = "{\"version\":1,\"head\":\"refs/heads/main\",\"refs\":{"
            for number in 1_000_000...1_200_000 {
                if number > 1_000_000 { json += "," }
                json += "\"refs/heads/many/branches-with-long-names/\(number)\":\"\(id)\""
            }
            let bytes = Array((json + "},\"packs\":[],\"parent\":null}").utf8)
            let digest = Digest(of: bytes).hex
            try site.bucket.overwrite(.manifest(digest), with: bytes)
            try site.bucket.overwrite(.pointer(repository), with: Array(digest.utf8))

            let body =
                PktLines.line("command=ls-refs\n") + PktLines.delimiter
                + PktLines.line("ref-prefix zzzzz\n") + PktLines.flush
            func ask(_ count: Int) throws {
                let answers = try concurrently(count) { _ in
                    try site.http.send(
                        "POST", "/git/\(repository).git/git-upload-pack",
                        headers: [
                            ("Content-Type", "application/x-git-upload-pack-request"),
                            ("Git-Protocol", "version=2"),
                        ], body: .bytes(body))
                }
                for answer in answers { #expect(answer.status == 200 && answer.text == "0000") }
            }
            try ask(1)
            let one = try site.instance.peakMemory()
            try ask(8)
            let many = try site.instance.peakMemory()
            #expect(many < one + (64 << 20), "\(one >> 20) MiB, then \(many >> 20) MiB")
            try site.instance.stop()
        }
    }
}
