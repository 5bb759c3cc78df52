import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// A client's speed never holds git.
    @Suite struct CapacityTests {
        /// A repository with a single file that does not compress.
        private func large(
            _ site: any GitHost, mebibytes: Int
        ) throws -> (repository: String, tree: WorkTree) {
            let (repository, tree) = try seeded(site)
            let bytes = try Command(
                "/usr/bin/head", ["-c", "\(mebibytes)M", "/dev/urandom"]
            ).run().checked().output
            try tree.commit("large", bytes: bytes)
            try tree.git("push", "-q", "origin", "main")
            return (repository, tree)
        }

        private func site(_ options: [String]) throws -> Site {
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.options = options
            return try Site(setup)
        }

        /// Requests a clone, and reads only the beginning of the answer.
        private func slowReader(
            _ site: Site, _ repository: String, _ tip: String
        ) throws -> HTTPExchange {
            let body = Site.wants([tip])
            let exchange = try HTTPExchange(
                port: site.http.port, "POST", "/git/\(repository).git/git-upload-pack",
                headers: [
                    ("Content-Type", "application/x-git-upload-pack-request"),
                    ("Content-Length", "\(body.count)"),
                ])
            try exchange.send(body)
            #expect(try text(exchange.receive()).hasPrefix("HTTP/1.1 200 "))
            return exchange
        }

        /// Starts a push, and stops in the middle of its pack.
        private func slowPusher(
            _ site: Site, _ repository: String, _ tree: WorkTree, on tip: String, branch: String
        ) throws -> (exchange: HTTPExchange, rest: [UInt8]) {
            let bytes = try Command(
                "/usr/bin/head", ["-c", "3M", "/dev/urandom"]
            ).run().checked().output
            let next = try tree.commit("pushed-\(branch)", bytes: bytes)
            let body = PushBody(
                [.init(old: nil, new: next, "refs/heads/\(branch)")],
                capabilities: "report-status", pack: try tree.pack([next, "^\(tip)"]))
            let exchange = try HTTPExchange(
                port: site.http.port, "POST", "/git/\(repository).git/git-receive-pack",
                headers: [
                    Site.authorization,
                    ("Content-Type", "application/x-git-receive-pack-request"),
                    ("Content-Length", "\(body.bytes.count)"),
                ])
            try exchange.send(Array(body.bytes.prefix(200_000)))
            return (exchange, Array(body.bytes.dropFirst(200_000)))
        }

        // C1, C2
        @Test func slowClientsHoldUpNobody() throws {
            let site = try site(["--max-git", "2"])
            let (repository, tree) = try large(site, mebibytes: 30)
            let tip = try tree.git("rev-parse", "main")
            let readers = try (0..<3).map { _ in try slowReader(site, repository, tip) }
            let pushers = try ["a", "b", "c"].map {
                try slowPusher(site, repository, tree, on: tip, branch: $0)
            }

            let copy = try WorkTree.clone(site.anonymousURL(repository), "-q")
            #expect(try copy.git("rev-parse", "main") == tip)
            try copy.commit("another")
            try copy.git("push", "-q", site.url(repository), "HEAD:refs/heads/other")

            // They are served as soon as they continue.
            for pusher in pushers {
                try pusher.exchange.send(pusher.rest)
                let answer = try pusher.exchange.response()
                #expect(answer.status == 200 && answer.text.contains("unpack ok"), "\(answer.text)")
            }
            // The readers are still connected, but their answers need neither git nor a workspace.
            try wait(for: "no git and no workspace") {
                try site.instance.children().isEmpty && site.instance.workspaces().isEmpty
            }
            for reader in readers { reader.hangUp() }
            try site.instance.stop()
        }

        // C1: if the spool has no room for the answers, git waits for its client, but occupies no
        // slot.
        @Test func slowReadersHoldUpNobodyWithoutRoom() throws {
            let site = try site(["--max-git", "1", "--spool-size", "0"])
            let (repository, tree) = try large(site, mebibytes: 30)
            let tip = try tree.git("rev-parse", "main")
            let readers = try (0..<3).map { _ in try slowReader(site, repository, tip) }
            let copy = try WorkTree.clone(site.anonymousURL(repository), "-q")
            #expect(try copy.git("rev-parse", "main") == tip)
            for reader in readers { reader.hangUp() }
            try wait(for: "nothing to be left") {
                try site.instance.children().isEmpty && site.instance.workspaces().isEmpty
            }
            try site.instance.stop()
        }

        // C3
        @Test(arguments: [Front.nginx, .apacheProxy])
        func burstOfClonesIsServed(front: Front) throws {
            var setup = ServerProcess.Setup(try StoreUnderTest.file.makeBucket())
            setup.options = ["--max-git", "1"]
            let site = try front.makeSite(setup)
            let (repository, tree) = try large(site, mebibytes: 10)
            let directory = try TemporaryDirectory()
            let results = try concurrently(40) { number in
                try tree.client.run(
                    [
                        "clone", "-q", "--bare", site.anonymousURL(repository),
                        "\(directory.path)/\(number)",
                    ],
                    limit: .seconds(300))
            }
            for result in results { #expect(result.succeeded, "\(result)") }
        }

        // C4: the limits apply to silence and to git's own time, not to the speed of the client.
        @Test func cloneThatTakesLongerThanGitsTimeLimitSucceeds() throws {
            let site = try site(["--git-timeout", "2s", "--spool-size", "0"])
            let (repository, tree) = try large(site, mebibytes: 12)
            let curl = try Programs.find("curl", remedy: "apt install curl")
            let directory = try TemporaryDirectory()
            let request = try directory.file("request", Site.wants([tree.git("rev-parse", "main")]))
            let output = directory.path + "/answer"
            try Command(
                curl,
                [
                    "-sSf", "--limit-rate", "2M", "-H",
                    "Content-Type: application/x-git-upload-pack-request", "--data-binary",
                    "@\(request)", "-o", output,
                    "http://127.0.0.1:\(site.http.port)/git/\(repository).git/git-upload-pack",
                ]
            ).run().checked()
            // NAK, and then the pack.
            let pack = try Files.read(output).dropFirst(8)
            #expect(pack.starts(with: "PACK".utf8))
            try tree.client.run(
                ["index-pack", "--stdin", "--strict", directory.path + "/p.pack"],
                in: tree.path, input: .bytes(Array(pack))
            ).checked()
        }

        // C4: in the spool, and without room there, while git receives it.
        @Test(arguments: ["1G", "0"])
        func pushThatArrivesSlowerThanGitsTimeLimitSucceeds(room: String) throws {
            let site = try site(["--git-timeout", "2s", "--spool-size", room])
            let (repository, tree) = try large(site, mebibytes: 1)
            let tip = try tree.git("rev-parse", "main")
            let start = ContinuousClock.now
            let pusher = try slowPusher(site, repository, tree, on: tip, branch: "slow")
            try wait(for: "more than git's time to pass") {
                ContinuousClock.now >= start + .seconds(3)
            }
            try pusher.exchange.send(pusher.rest)
            let answer = try pusher.exchange.response()
            #expect(answer.text.contains("unpack ok"), "\(answer.text)")
        }

        @Test func coldRepositoryOnASlowStoreHoldsUpNobody() throws {
            let bucket = try StoreUnderTest.seaweed.makeBucket()
            let direct = try Site(ServerProcess.Setup(bucket))
            // With random contents, as equal packs are one object.
            func make() throws -> (repository: String, tree: WorkTree) {
                let repository = try direct.create()
                let tree = try WorkTree.make(remote: direct.url(repository))
                try tree.commit("random")
                try tree.git("push", "-q", "origin", "main")
                return (repository, tree)
            }
            let (cold, tree) = try make()
            let (other, _) = try make()
            let proxy = try bucket.makeProxy()
            var setup = ServerProcess.Setup(bucket)
            setup.proxy = proxy
            setup.options = ["--max-git", "1"]
            let site = try Site(setup)
            let gate = Gate()
            proxy.on("GET", .pack, .hold(gate))
            let tip = try tree.git("rev-parse", "main")
            let slow = Background { try site.fetch(cold, [tip]) }
            try wait(for: "the pack to be requested") { proxy.pending == 0 }
            _ = try WorkTree.clone(site.anonymousURL(other), "-q")
            #expect(!slow.isDone)
            gate.open()
            #expect(try slow.value().status == 200)
        }
    }
}
