import Bytes
import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// The server examines whether the disk is full or a cached pack is damaged. Messages that
    /// clients provoke from git have no influence.
    @Suite struct LocalCauseTests {
        /// A repository whose packs are in the site's cache.
        private func cached(_ site: Site) throws -> (String, WorkTree, tip: String) {
            let (repository, tree) = try seeded(site)
            let tip = try tree.commit("large", Hex.random(bytes: 100_000))
            try tree.git("push", "-q", "origin", "main")
            try expectServed(site, repository, equals: tree)
            return (repository, tree, tip)
        }

        /// The files of the cached packs: name, inode, size, and modification time, except for
        /// indexes, where it is the time of last use.
        private func cache(_ site: Site) throws -> [String] {
            let directory = site.instance.stateDirectory + "/packs"
            return try Files.names(in: directory).sorted().map { name in
                var status = stat()
                #expect(lstat("\(directory)/\(name)", &status) == 0)
                let time = name.hasSuffix(".idx") ? 0 : status.st_mtim.tv_nsec
                return "\(name) \(status.st_ino) \(status.st_size) \(time)"
            }
        }

        // D3
        @Test func wordsOfAnAnonymousFetchDoNotHaveTheCacheDropped() throws {
            let site = try Site(.file)
            let (repository, _, tip) = try cached(site)
            let before = try cache(site)
            let wants = "want \(tip) multi_ack_detailed no-done side-band-64k"
            for word in ["missing", "corrupt packfile", "No space left on device"] {
                let answer = try site.http.send(
                    "POST", "/git/\(repository).git/git-upload-pack",
                    headers: [("Content-Type", "application/x-git-upload-pack-request")],
                    body: .chunks([
                        PktLines.line(wants), PktLines.flush, PktLines.line("have \(tip)"),
                        PktLines.line(word),
                    ]))
                #expect(answer.text.contains("ACK \(tip)"), "\(answer.start)")
                #expect(try site.fetch(repository, [tip]).text.contains("PACK"))
                #expect(try cache(site) == before)
            }
        }

        // D3: a client that makes git fail causes each pack to be hashed once in ten minutes.
        @Test func fetchesThatFailAgainAndAgainHaveNothingHashedAgain() throws {
            let site = try Site(.file)
            let (repository, _, tip) = try cached(site)
            let proofs = site.instance.stateDirectory + "/proofs"
            func fail() throws {
                _ = try site.http.send(
                    "POST", "/git/\(repository).git/git-upload-pack",
                    headers: [("Content-Type", "application/x-git-upload-pack-request")],
                    body: .bytes(
                        PktLines.line("want \(tip) multi_ack_detailed no-done side-band-64k")
                            + PktLines.flush + PktLines.line("have \(tip)")
                            + PktLines.line("missing")))
            }
            // The records, in any order.
            func noted() throws -> Set<ArraySlice<UInt8>> {
                Set(try Files.read(proofs).split(separator: 10))
            }
            try fail()
            let first = try noted()
            #expect(first.count == 2)
            for _ in 0..<3 { try fail() }
            #expect(try noted() == first)
        }

        /// A push of one new commit whose tree has a `.gitmodules` that fsck refuses, quoting it.
        private func poisoned(
            _ tree: WorkTree, _ tip: String, _ url: String, to ref: String
        ) throws -> PushBody {
            let next = try tree.commit(
                ".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = \"\(url)\"")
            let pack = try tree.pack([next, "^\(tip)"])
            return PushBody(
                [.init(old: ref == "refs/heads/main" ? tip : nil, new: next, ref)],
                capabilities: "report-status side-band-64k", pack: pack)
        }

        // D4
        @Test func wordsOfARefusedPushTakeNothingFromTheCache() throws {
            let site = try Site(.file)
            let (_, _, _) = try cached(site)
            let (repository, tree, tip) = try cached(site)
            let before = try cache(site)
            for (url, ref) in [
                ("-No space left on device", "refs/heads/main"),
                ("-Disk quota exceeded", "refs/heads/other"), ("-x", "refs/heads/missing-x"),
            ] {
                try tree.git("reset", "-q", "--hard", tip)
                let answer = try site.push(
                    to: repository, try poisoned(tree, tip, url, to: ref))
                #expect(answer.text.contains("ng \(ref)"), "\(answer.text)")
                #expect(try cache(site) == before)
            }
        }

        // D4
        @Test(.enabled(if: SmallDisk.mayBeMounted, "requires root, and permission to mount"))
        func pushThatFindsTheDiskFullTakesRoomFromTheCacheForTheNext() throws {
            let disk = try SmallDisk(mebibytes: 6)
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.program = disk.program
            setup.options = disk.options
            let site = try Site(setup)
            for _ in 0..<3 {
                let (repository, tree) = try seeded(site)
                try tree.commit("large", bytes: try SmallDisk.noise(1_300_000))
                try tree.git("push", "-q", "origin", "main")
                try expectServed(site, repository, equals: tree)
            }
            // The disk has room for this pack, but not in addition to the cached ones.
            let (repository, tree) = try seeded(site)
            let old = try tree.git("rev-parse", "main")
            let new = try tree.commit("large", bytes: try SmallDisk.noise(3_500_000))
            let body = PushBody(
                [.init(old: old, new: new, "refs/heads/main")], capabilities: "report-status",
                pack: try tree.pack([new, "^\(old)"]))
            let answers = try (0..<2).map { _ in try site.push(to: repository, body).text }
            #expect(answers[0].contains("ng refs/heads/main"), "\(answers)")
            #expect(answers[1].contains("ok refs/heads/main"), "\(answers)")
        }
    }
}
