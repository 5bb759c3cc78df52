import TestSupport
import Testing

extension EndToEnd {
    /// The requests that reach S3, counted on their way.
    @Suite struct RequestCountTests {
        private struct Stage {
            let proxy: FaultProxy
            let site: Site
            let repository: String
            let tree: WorkTree

            init() throws {
                let site = try RequestCountTests.site.get()
                proxy = try #require(site.setup.proxy)
                proxy.reset()
                self.site = site
                (repository, tree) = try seeded(site)
                for number in 1...2 {
                    try tree.commit("file-\(number)")
                    try tree.git("push", "-q", "origin", "main")
                }
                #expect(try site.bucket.packs(of: repository).count == 3)
                proxy.reset()
            }

            var tip: String { get throws { try tree.git("rev-parse", "main") } }

            /// What was counted since the last look.
            func counted() -> [String: Int] {
                defer { proxy.reset() }
                return proxy.counts
            }
        }

        private static let bucket = Result { try StoreUnderTest.seaweed.makeBucket() }

        /// Past the proxy.
        private static let direct = Result { try Site(Responder.Setup(Self.bucket.get())) }

        private static let site = Result {
            let bucket = try Self.bucket.get()
            var setup = Responder.Setup(bucket)
            setup.proxy = try bucket.makeProxy()
            return try Site(setup)
        }

        /// What reading a repository of three packs takes.
        private static let resolving = ["GET pointer": 1, "GET manifest": 1]
        private static let hydrating = resolving.merging(["GET pack": 3, "GET index": 3]) { $1 }

        @Test func resolvingIsOnePointerAndOneManifest() throws {
            let stage = try Stage()
            let answer = try stage.site.advertisement(
                stage.repository, headers: [("Git-Protocol", "version=2")])
            #expect(answer.status == 200)
            #expect(stage.counted() == Self.resolving)

            // The client's question whether it is let in.
            let probe = try stage.site.push(
                to: stage.repository, PushBody([], capabilities: "", pack: []))
            #expect(probe.status == 200)
            let counted = stage.counted()
            #expect(counted == Self.resolving || counted.isEmpty, "\(counted)")
        }

        @Test func unknownRepositoryIsOneRequest() throws {
            let stage = try Stage()
            #expect(try stage.site.advertisement("no/body").status == 404)
            #expect(stage.counted() == ["GET pointer": 1])
        }

        @Test func fetchReadsEachPackAndIndexOnce() throws {
            let stage = try Stage()
            #expect(try stage.site.fetch(stage.repository, [stage.tip]).status == 200)
            #expect(stage.counted() == Self.hydrating)
        }

        @Test func packsAndIndexesAreReadAtTheSameTime() throws {
            let stage = try Stage()
            let gathering = FaultProxy.Gathering(of: 6)
            stage.proxy.on("GET", .pack, times: 3, .gather(gathering))
            stage.proxy.on("GET", .index, times: 3, .gather(gathering))
            #expect(try stage.site.fetch(stage.repository, [stage.tip]).status == 200)
            #expect(gathering.isComplete)
        }

        @Test func pushAddsFourWritesInTwoSteps() throws {
            let stage = try Stage()
            let tip = try stage.tip
            let next = try stage.tree.commit("new")
            // Let through only when all three are on their way.
            let gathering = FaultProxy.Gathering(of: 3)
            for object in [FaultProxy.StoredKind.pack, .index, .manifest] {
                stage.proxy.on("PUT", object, .gather(gathering))
            }
            let answer = try stage.site.push(
                to: stage.repository,
                PushBody(
                    [.init(old: tip, new: next, "refs/heads/main")],
                    capabilities: "report-status", pack: try stage.tree.pack([next, "^\(tip)"])))
            #expect(answer.status == 200)
            #expect(answer.text.contains("ok refs/heads/main"))
            #expect(gathering.isComplete)
            let last = stage.proxy.entries.last
            #expect(last?.kind == FaultProxy.Kind("PUT", .pointer))
            let writes = ["PUT pack": 1, "PUT index": 1, "PUT manifest": 1, "PUT pointer": 1]
            #expect(stage.counted() == Self.hydrating.merging(writes) { $1 })
        }

        @Test func swapIsNotSentBeforeEverythingIsStored() throws {
            let stage = try Stage()
            let tip = try stage.tip
            let next = try stage.tree.commit("new")
            let gate = Gate()
            stage.proxy.on("PUT", .pack, .hold(gate))
            let body = PushBody(
                [.init(old: tip, new: next, "refs/heads/main")], capabilities: "report-status",
                pack: try stage.tree.pack([next, "^\(tip)"]))
            let push = Background { try stage.site.push(to: stage.repository, body) }
            try wait(for: "the others to be stored") {
                stage.proxy.entries.contains {
                    $0.kind == FaultProxy.Kind("PUT", .manifest) && $0.status == 200
                }
            }
            #expect(stage.proxy.counts["PUT pointer"] == nil)
            gate.open()
            #expect(try push.value().text.contains("ok refs/heads/main"))
        }

        @Test func pushWithoutNewObjectsWritesManifestAndPointer() throws {
            let stage = try Stage()
            let answer = try stage.site.push(
                to: stage.repository,
                PushBody(
                    [.init(old: nil, new: try stage.tip, "refs/heads/more")],
                    capabilities: "report-status", pack: PushBody.emptyPack))
            #expect(answer.text.contains("ok refs/heads/more"))
            let writes = ["PUT manifest": 1, "PUT pointer": 1]
            #expect(stage.counted() == Self.hydrating.merging(writes) { $1 })
        }

        @Test func refusedPushWritesNothing() throws {
            let stage = try Stage()
            let stale = String(repeating: "1", count: 40)
            let answer = try stage.site.push(
                to: stage.repository,
                PushBody(
                    [.init(old: stale, new: try stage.tip, "refs/heads/main")],
                    capabilities: "report-status", pack: PushBody.emptyPack))
            #expect(answer.text.contains("ng refs/heads/main"))
            #expect(stage.counted() == Self.hydrating)
        }

        @Test func cloneByGitReadsNothingTwiceWithinARequest() throws {
            let stage = try Stage()
            _ = try WorkTree.clone(
                stage.site.anonymousURL(stage.repository), "-q", "-c", "protocol.version=2")
            let counted = stage.counted()
            // Capabilities, ls-refs, fetch.
            #expect(counted["GET pointer"] == 3)
            #expect(counted["GET manifest"] == 3)
            #expect(Set(counted.keys).isSubset(of: Self.hydrating.keys), "\(counted)")
        }

        @Test func lostPushTriesNoSwapThatCannotBeWon() throws {
            let stage = try Stage()
            let (answer, rival) = try lose(stage, ref: "refs/heads/main")
            #expect(answer.text.contains("ng refs/heads/main"))
            #expect(stage.counted()["PUT pointer"] == 1)
            try expectServed(stage.site, stage.repository, equals: rival)
        }

        @Test func lostPushThatIsRebasedStoresItsPackOnce() throws {
            let stage = try Stage()
            let (answer, rival) = try lose(stage, ref: "refs/heads/other")
            #expect(answer.text.contains("ok refs/heads/other"))
            let counted = stage.counted()
            #expect(counted["PUT pack"] == 1)
            #expect(counted["PUT index"] == 1)
            #expect(counted["PUT manifest"] == 2)
            #expect(counted["PUT pointer"] == 2)
            #expect(counted["GET pack"] == 3)
            try rival.git("fetch", "-q", "origin", "other:other")
            try expectServed(stage.site, stage.repository, equals: rival)
        }

        /// Pushes a new commit to a ref while another push to `main` wins, which is not counted.
        private func lose(_ stage: Stage, ref: String) throws -> (HTTPMessage, WorkTree) {
            let direct = try RequestCountTests.direct.get()
            let tip = try stage.tip
            let next = try stage.tree.commit("new")
            let gate = Gate()
            stage.proxy.on("PUT", .pointer, .hold(gate))
            let old = ref == "refs/heads/main" ? tip : nil
            let body = PushBody(
                [.init(old: old, new: next, ref)], capabilities: "report-status",
                pack: try stage.tree.pack([next, "^\(tip)"]))
            let push = Background { try stage.site.push(to: stage.repository, body) }
            try wait(for: "the swap to be on its way") { stage.proxy.pending == 0 }
            let rival = try WorkTree.clone(direct.url(stage.repository), "-q")
            try rival.commit("theirs")
            try rival.git("push", "-q", "origin", "main")
            gate.open()
            return (try push.value(), rival)
        }
    }
}
