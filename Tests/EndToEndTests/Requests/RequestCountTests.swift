import TestSupport
import Testing

extension EndToEnd {
    /// The requests that reach S3, counted by a proxy.
    @Suite struct RequestCountTests {
        private struct Fixture {
            let proxy: FaultProxy
            let site: Site
            let repository: String
            let tree: WorkTree

            init() throws {
                let site = try RequestCountTests.site.get()
                proxy = try #require(site.setup.proxy)
                proxy.reset()
                self.site = site
                // Created without the site, so that its cache is empty.
                let direct = try RequestCountTests.direct.get()
                repository = try direct.create()
                tree = try WorkTree.make(remote: direct.url(repository))
                for number in 0...2 {
                    try tree.commit("file-\(number)")
                    try tree.git("push", "-q", "origin", "main")
                }
                #expect(try site.bucket.packs(of: repository).count == 3)
                proxy.reset()
            }

            var tip: String { get throws { try tree.git("rev-parse", "main") } }

            /// The requests counted since the last call.
            func counted() -> [String: Int] {
                defer { proxy.reset() }
                return proxy.counts
            }
        }

        private static let bucket = Result { try StoreUnderTest.seaweed.makeBucket() }

        /// A site without the proxy.
        private static let direct = Result { try Site(ServerProcess.Setup(Self.bucket.get())) }

        private static let site = Result {
            let bucket = try Self.bucket.get()
            var setup = ServerProcess.Setup(bucket)
            setup.proxy = try bucket.makeProxy()
            return try Site(setup)
        }

        /// The requests of the first read of a repository with three packs.
        private static let resolving = ["GET pointer": 1, "GET manifest": 1]
        private static let hydrating = resolving.merging(["GET pack": 3, "GET index": 3]) { $1 }
        /// The requests of each further read.
        private static let warm = ["GET pointer": 1]

        @Test func resolvingIsOnePointerAndOneManifestAndThenOnePointer() throws {
            let fixture = try Fixture()
            for expected in [Self.resolving, Self.warm] {
                for service in ["git-upload-pack", "git-receive-pack"] {
                    let answer = try fixture.site.advertisement(
                        fixture.repository, service: service,
                        headers: [Site.authorization, ("Git-Protocol", "version=2")])
                    #expect(answer.status == 200)
                    #expect(
                        fixture.counted() == (service == "git-upload-pack" ? expected : Self.warm))
                }
            }

            // The client's probe, with which it checks that it is authorized.
            let probe = try fixture.site.push(
                to: fixture.repository, PushBody([], capabilities: "", pack: []))
            #expect(probe.status == 200)
            let counted = fixture.counted()
            #expect(counted == Self.warm || counted.isEmpty, "\(counted)")
        }

        @Test func unknownRepositoryIsOneRequest() throws {
            let fixture = try Fixture()
            #expect(try fixture.site.advertisement("no/body").status == 404)
            #expect(fixture.counted() == ["GET pointer": 1])
        }

        @Test func fetchReadsEachPackAndIndexOnceAndThenOnePointer() throws {
            let fixture = try Fixture()
            #expect(try fixture.site.fetch(fixture.repository, [fixture.tip]).status == 200)
            #expect(fixture.counted() == Self.hydrating)
            for _ in 0..<3 {
                #expect(try fixture.site.fetch(fixture.repository, [fixture.tip]).status == 200)
                #expect(fixture.counted() == Self.warm)
            }
        }

        @Test func restartedProgramAndOneShotCGIReadThePointerAlone() throws {
            let fixture = try Fixture()
            let cgi = try CGIRun(fixture.site.setup)
            func fetch() throws -> Int? {
                try cgi.request(
                    "POST", "/\(fixture.repository)/git-upload-pack",
                    variables: ["CONTENT_TYPE": "application/x-git-upload-pack-request"],
                    body: Site.wants([fixture.tip])
                ).status
            }
            #expect(try fetch() == 200)
            #expect(fixture.counted() == Self.hydrating)
            #expect(try fetch() == 200)
            #expect(fixture.counted() == Self.warm)
            let again = try Site(fixture.site.setup)
            #expect(try again.fetch(fixture.repository, [fixture.tip]).status == 200)
            #expect(fixture.counted() == Self.warm)
        }

        @Test func withoutACacheEachFetchReadsEverything() throws {
            let fixture = try Fixture()
            var setup = fixture.site.setup
            setup.options = ["--cache-size", "0"]
            setup.state = nil
            let site = try Site(setup)
            for _ in 0..<2 {
                #expect(try site.fetch(fixture.repository, [fixture.tip]).status == 200)
                #expect(fixture.counted() == Self.hydrating)
            }
        }

        @Test func packsAndIndexesAreReadAtTheSameTime() throws {
            let fixture = try Fixture()
            let gate = Gate(openingAt: 6)
            fixture.proxy.on("GET", .pack, times: 3, .hold(gate))
            fixture.proxy.on("GET", .index, times: 3, .hold(gate))
            #expect(try fixture.site.fetch(fixture.repository, [fixture.tip]).status == 200)
            #expect(gate.isOpen)
        }

        @Test func pushAddsFourWritesInTwoSteps() throws {
            let fixture = try Fixture()
            let tip = try fixture.tip
            let next = try fixture.tree.commit("new")
            // Opens when all three requests have arrived.
            let gate = Gate(openingAt: 3)
            for object in [FaultProxy.StoredKind.pack, .index, .manifest] {
                fixture.proxy.on("PUT", object, .hold(gate))
            }
            let answer = try fixture.site.push(
                to: fixture.repository,
                PushBody(
                    [.init(old: tip, new: next, "refs/heads/main")],
                    capabilities: "report-status", pack: try fixture.tree.pack([next, "^\(tip)"])))
            #expect(answer.status == 200)
            #expect(answer.text.contains("ok refs/heads/main"))
            #expect(gate.isOpen)
            let last = fixture.proxy.entries.last
            #expect(last?.kind == FaultProxy.Kind("PUT", .pointer))
            let writes = ["PUT pack": 1, "PUT index": 1, "PUT manifest": 1, "PUT pointer": 1]
            #expect(fixture.counted() == Self.hydrating.merging(writes) { $1 })

            // The next push, and a fetch, use the objects that this one published.
            for _ in 0..<2 {
                let (last, further) = (try fixture.tip, try fixture.tree.commit("further"))
                let answer = try fixture.site.push(
                    to: fixture.repository,
                    PushBody(
                        [.init(old: last, new: further, "refs/heads/main")],
                        capabilities: "report-status",
                        pack: try fixture.tree.pack([further, "^\(last)"])))
                #expect(answer.text.contains("ok refs/heads/main"))
                #expect(fixture.counted() == Self.warm.merging(writes) { $1 })
            }
            #expect(try fixture.site.fetch(fixture.repository, [fixture.tip]).status == 200)
            #expect(fixture.counted() == Self.warm)
        }

        @Test func verifyingAPushReadsItsPackAndManifestOnce() throws {
            let fixture = try Fixture()
            #expect(try fixture.site.fetch(fixture.repository, [fixture.tip]).status == 200)
            var setup = fixture.site.setup
            setup.options = ["--verify-uploads", "on"]
            let site = try Site(setup)
            fixture.proxy.reset()
            let tip = try fixture.tip
            let next = try fixture.tree.commit("new")
            let answer = try site.push(
                to: fixture.repository,
                PushBody(
                    [.init(old: tip, new: next, "refs/heads/main")],
                    capabilities: "report-status", pack: try fixture.tree.pack([next, "^\(tip)"])))
            #expect(answer.text.contains("ok refs/heads/main"))
            let expected = Self.warm.merging([
                "PUT pack": 1, "PUT index": 1, "PUT manifest": 1, "PUT pointer": 1,
                "GET pack": 1, "GET manifest": 1,
            ]) { $1 }
            try wait(for: "both to be read") { fixture.proxy.counts == expected }
            try site.instance.stop()
            #expect(fixture.counted() == expected)
        }

        @Test func swapIsNotSentBeforeEverythingIsStored() throws {
            let fixture = try Fixture()
            let tip = try fixture.tip
            let next = try fixture.tree.commit("new")
            let gate = Gate()
            fixture.proxy.on("PUT", .pack, .hold(gate))
            let body = PushBody(
                [.init(old: tip, new: next, "refs/heads/main")], capabilities: "report-status",
                pack: try fixture.tree.pack([next, "^\(tip)"]))
            let push = Background { try fixture.site.push(to: fixture.repository, body) }
            try wait(for: "the others to be stored") {
                fixture.proxy.entries.contains {
                    $0.kind == FaultProxy.Kind("PUT", .manifest) && $0.status == 200
                }
            }
            #expect(fixture.proxy.counts["PUT pointer"] == nil)
            gate.open()
            #expect(try push.value().text.contains("ok refs/heads/main"))
        }

        @Test func pushWithoutNewObjectsWritesManifestAndPointer() throws {
            let fixture = try Fixture()
            let answer = try fixture.site.push(
                to: fixture.repository,
                PushBody(
                    [.init(old: nil, new: try fixture.tip, "refs/heads/more")],
                    capabilities: "report-status", pack: PushBody.emptyPack))
            #expect(answer.text.contains("ok refs/heads/more"))
            let writes = ["PUT manifest": 1, "PUT pointer": 1]
            #expect(fixture.counted() == Self.hydrating.merging(writes) { $1 })
        }

        @Test func refusedPushWritesNothing() throws {
            let fixture = try Fixture()
            let stale = String(repeating: "1", count: 40)
            let answer = try fixture.site.push(
                to: fixture.repository,
                PushBody(
                    [.init(old: stale, new: try fixture.tip, "refs/heads/main")],
                    capabilities: "report-status", pack: PushBody.emptyPack))
            #expect(answer.text.contains("ng refs/heads/main"))
            #expect(fixture.counted() == Self.hydrating)
        }

        /// Three requests: capabilities, ls-refs, fetch.
        private static func cloning(_ first: [String: Int]) -> [String: Int] {
            first.merging(["GET pointer": 3]) { $1 }
        }

        @Test func cloneByGitReadsEachObjectOnceThoughItIsThreeRequests() throws {
            let fixture = try Fixture()
            for expected in [Self.hydrating, Self.warm] {
                _ = try WorkTree.clone(
                    fixture.site.anonymousURL(fixture.repository), "-q", "-c", "protocol.version=2")
                #expect(fixture.counted() == Self.cloning(expected))
            }
        }

        @Test func eightClonesAtOnceReadEachPackAndIndexOnce() throws {
            let fixture = try Fixture()
            let clones = try concurrently(8) { _ in
                try WorkTree.clone(fixture.site.anonymousURL(fixture.repository), "-q")
            }
            for clone in clones {
                try clone.git("fsck", "--full", "--strict")
                #expect(try clone.git("rev-parse", "HEAD") == fixture.tip)
            }
            let counted = fixture.counted()
            #expect(counted["GET pack"] == 3)
            #expect(counted["GET index"] == 3)
            #expect(counted["GET pointer"] == 24)
        }

        @Test func twoProgramsWithOneStateDirectoryReadEachPackAndIndexOnce() throws {
            let fixture = try Fixture()
            let other = try Site(fixture.site.setup)
            let clones = try concurrently(8) { number in
                let site = number % 2 == 0 ? fixture.site : other
                return try WorkTree.clone(site.anonymousURL(fixture.repository), "-q")
            }
            for clone in clones { #expect(try clone.git("rev-parse", "HEAD") == fixture.tip) }
            let counted = fixture.counted()
            #expect(counted["GET pack"] == 3)
            #expect(counted["GET index"] == 3)

            // A push through one instance is visible through the other.
            try fixture.tree.commit("new")
            try fixture.tree.git("push", "-q", fixture.site.url(fixture.repository), "main")
            fixture.proxy.reset()
            #expect(try other.fetch(fixture.repository, [fixture.tip]).status == 200)
            #expect(fixture.counted() == Self.warm)
        }

        @Test func lostPushTriesNoSwapThatCannotBeWon() throws {
            let fixture = try Fixture()
            let (answer, rival) = try lose(fixture, ref: "refs/heads/main")
            #expect(answer.text.contains("ng refs/heads/main"))
            #expect(fixture.counted()["PUT pointer"] == 1)
            try expectServed(fixture.site, fixture.repository, equals: rival)
        }

        @Test func lostPushThatIsReappliedStoresItsPackOnce() throws {
            let fixture = try Fixture()
            let (answer, rival) = try lose(fixture, ref: "refs/heads/other")
            #expect(answer.text.contains("ok refs/heads/other"))
            let counted = fixture.counted()
            #expect(counted["PUT pack"] == 1)
            #expect(counted["PUT index"] == 1)
            #expect(counted["PUT manifest"] == 2)
            #expect(counted["PUT pointer"] == 2)
            #expect(counted["GET pack"] == 3)
            try rival.git("fetch", "-q", "origin", "other:other")
            try expectServed(fixture.site, fixture.repository, equals: rival)
        }

        /// Pushes a new commit to a ref while a push to `main`, which is not counted, wins.
        private func lose(_ fixture: Fixture, ref: String) throws -> (HTTPMessage, WorkTree) {
            let direct = try RequestCountTests.direct.get()
            let tip = try fixture.tip
            let next = try fixture.tree.commit("new")
            let gate = Gate()
            fixture.proxy.on("PUT", .pointer, .hold(gate))
            let old = ref == "refs/heads/main" ? tip : nil
            let body = PushBody(
                [.init(old: old, new: next, ref)], capabilities: "report-status",
                pack: try fixture.tree.pack([next, "^\(tip)"]))
            let push = Background { try fixture.site.push(to: fixture.repository, body) }
            try wait(for: "the swap to be on its way") { fixture.proxy.pending == 0 }
            let rival = try WorkTree.clone(direct.url(fixture.repository), "-q")
            try rival.commit("theirs")
            try rival.git("push", "-q", "origin", "main")
            gate.open()
            return (try push.value(), rival)
        }
    }
}
