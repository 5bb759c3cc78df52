import Bytes
import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// The cache, which clients must not notice.
    @Suite struct CacheTests {
        /// A repository whose packs the site has cached.
        private func kept(_ site: Site) throws -> (String, WorkTree) {
            let (repository, tree) = try seeded(site)
            try tree.commit("second", String(repeating: "content ", count: 100))
            try tree.git("push", "-q", "origin", "main")
            try expectServed(site, repository, equals: tree)
            return (repository, tree)
        }

        private func packs(_ site: Site) throws -> [String] {
            try Files.names(in: site.instance.stateDirectory + "/packs")
                .filter { $0.hasSuffix(".pack") }
        }

        private func incoming(_ site: Site) throws -> [String] {
            try Files.names(in: site.instance.stateDirectory + "/packs/incoming")
        }

        @Test func cachedPackIsServedThoughTheStoreLostIt() throws {
            let site = try Site(.file)
            let (repository, tree) = try kept(site)
            let packs = try site.bucket.packs(of: repository)
            let original = try #require(try site.bucket.read(.pack(packs[0])))
            for damage in [[], Array(original.dropLast()), original.map { $0 ^ 1 }] {
                try site.bucket.overwrite(.pack(packs[0]), with: damage)
                try expectServed(site, repository, equals: tree)
                let stranger = try Site(ServerProcess.Setup(site.bucket))
                let tip = try tree.git("rev-parse", "main")
                #expect(try stranger.fetch(repository, [tip]).status == 500)
                #expect(try !self.packs(stranger).contains(packs[0] + ".pack"))
                #expect(try incoming(stranger) == [])
                #expect(try stranger.instance.workspaces() == [])
                try site.bucket.overwrite(.pack(packs[0]), with: original)
                try expectServed(stranger, repository, equals: tree)
            }
        }

        @Test func everythingInTheStateDirectoryMayGoOrBeDamagedAtAnyTime() throws {
            let site = try Site(.file)
            let (repository, tree) = try kept(site)
            let state = site.instance.stateDirectory
            for name in ["packs", "manifests", "cache-size", "capabilities"] {
                Files.removeTree("\(state)/\(name)")
                try expectServed(site, repository, equals: tree)
                try tree.commit("without \(name)")
                try tree.git("push", "-q", "origin", "main")
                try expectServed(site, repository, equals: tree)
            }
            let again = try Site(site.setup)
            try expectServed(again, repository, equals: tree)
            for directory in ["packs", "manifests"] {
                for name in try Files.names(in: "\(state)/\(directory)") where name != "incoming" {
                    truncate("\(state)/\(directory)/\(name)", 60)
                }
            }
            try Files.write([1], to: state + "/cache-size")
            try expectServed(again, repository, equals: tree)
            #expect(try packs(again).count == site.bucket.packs(of: repository).count)
        }

        @Test func packThatRottedFailsOneRequestAtMost() throws {
            let site = try Site(.file)
            let (repository, tree) = try kept(site)
            for name in try packs(site) {
                let path = site.instance.stateDirectory + "/packs/" + name
                var bytes = try Files.read(path)
                for offset in 13..<bytes.count - 20 { bytes[offset] ^= 0x55 }
                try Files.write(bytes, to: path)
            }
            let (_, clone) = try WorkTree.attemptClone(site.anonymousURL(repository), ["-q"])
            #expect(!clone.succeeded)
            try expectServed(site, repository, equals: tree)
        }

        @Test func cacheStaysWithinItsSizeWhileClonesAndPushesRun() throws {
            let size = 300_000
            let site = try Site(.file, options: ["--cache-size", "\(size)"])
            let trees = try concurrently(4) { _ in
                let (repository, tree) = try seeded(site)
                for number in 0..<6 {
                    try tree.commit("file-\(number)", Hex.random(bytes: 40_000))
                    try tree.git("push", "-q", "origin", "main")
                    let clone = try WorkTree.clone(site.anonymousURL(repository), "-q")
                    #expect(try clone.git("rev-parse", "main") == tree.git("rev-parse", "main"))
                }
                return (repository, tree)
            }
            let directory = site.instance.stateDirectory + "/packs"
            let used = try Files.names(in: directory).reduce(0) {
                try $0 + ($1 == "incoming" ? 0 : Int(Files.size(of: "\(directory)/\($1)") ?? 0))
            }
            #expect(used <= size)
            for (repository, tree) in trees { try expectServed(site, repository, equals: tree) }
        }

        @Test func killedInADownloadLeavesNothingAndItsPlaceIsTakenByAnother() throws {
            let bucket = try StoreUnderTest.seaweed.makeBucket()
            let proxy = try bucket.makeProxy()
            let direct = try Site(ServerProcess.Setup(bucket))
            let (repository, tree) = try seeded(direct)
            try tree.commit("second")
            try tree.git("push", "-q", "origin", "main")
            let tip = try tree.git("rev-parse", "main")

            var setup = ServerProcess.Setup(bucket)
            setup.proxy = proxy
            let dying = try Site(setup)
            setup.state = dying.setup.state
            let living = try Site(setup)
            proxy.reset()
            let gate = Gate()
            proxy.on("GET", .pack, times: 2, .hold(gate))
            let lost = Background { try dying.fetch(repository, [tip]) }
            try wait(for: "the packs to be asked for") { proxy.pending == 0 }
            #expect(try incoming(dying).count >= 2)
            let waiting = Background { try living.fetch(repository, [tip]) }
            try wait(for: "the other to have come that far") {
                proxy.counts["GET pointer"] == 2 && proxy.counts["GET manifest"] != nil
            }
            dying.instance.signal(SIGKILL)
            #expect(try dying.instance.waitForEnd() == .signalled(SIGKILL))
            #expect(try lost.value().status == 502)
            #expect(try waiting.value().status == 200)
            gate.open()
            #expect(proxy.counts["GET pack"] == 4)
            #expect(try incoming(living) == [])
            try expectServed(living, repository, equals: tree)
        }

        @Test(.enabled(if: SmallDisk.mayBeMounted, "requires root, and permission to mount"))
        func fullDiskShrinksTheCacheAndIsStatus503AfterThat() throws {
            let bucket = try StoreUnderTest.file.makeBucket()
            let direct = try Site(ServerProcess.Setup(bucket))
            func make(_ bytes: Int) throws -> (repository: String, tip: String) {
                let (repository, tree) = try seeded(direct)
                let tip = try tree.commit("large", bytes: try SmallDisk.noise(bytes))
                try tree.git("push", "-q", "origin", "main")
                return (repository, tip)
            }
            let (first, second, third) = (
                try make(1_200_000), try make(1_200_000), try make(3_000_000)
            )
            let disk = try SmallDisk(mebibytes: 2)
            var setup = ServerProcess.Setup(bucket)
            setup.program = disk.program
            setup.options = disk.options
            let small = try Site(setup)
            for _ in 0..<2 {
                for (repository, tip) in [first, second] {
                    let answer = try small.fetch(repository, [tip])
                    #expect(answer.status == 200, "\(answer.text)")
                }
                let answer = try small.fetch(third.repository, [third.tip])
                #expect(answer.status == 503)
                #expect(answer.header("Retry-After") != nil)
                #expect(answer.text.hasPrefix("The server's disk is full."))
            }
        }
    }
}
