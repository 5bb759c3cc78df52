import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// Only a store on the network loses answers; a proxy in front of it simulates that.
    @Suite struct LostAnswerTests {
        /// A site behind a proxy, another site without it, and a repository with one commit.
        private struct Fixture {
            let proxy: FaultProxy
            let site: Site
            let direct: Site
            let repository: String
            let tree: WorkTree

            init() throws {
                let pair = try LostAnswerTests.sites.get()
                (proxy, site, direct) = (pair.proxy, pair.site, pair.direct)
                proxy.reset()
                (repository, tree) = try seeded(site)
                try tree.commit("ours")
                proxy.reset()
            }

            /// Pushes through the proxy.
            func push() throws -> CommandResult { try tree.attempt("push", "origin", "main") }

            /// Commits on top of the published state, without the proxy.
            func pushRival() throws -> WorkTree {
                let rival = try WorkTree.clone(direct.url(repository), "-q")
                try rival.commit("theirs")
                try rival.git("push", "-q", "origin", "main")
                return rival
            }

            func expectPublished(
                _ result: CommandResult, sourceLocation: SourceLocation = #_sourceLocation
            ) throws {
                #expect(result.succeeded, "\(result)", sourceLocation: sourceLocation)
                try expectServed(direct, repository, equals: tree, sourceLocation: sourceLocation)
            }

            func expectUnchanged(
                _ result: CommandResult, says words: String,
                sourceLocation: SourceLocation = #_sourceLocation
            ) throws {
                #expect(!result.succeeded, "\(result)", sourceLocation: sourceLocation)
                #expect(result.errors.contains(words), "\(result)", sourceLocation: sourceLocation)
                try tree.git("reset", "-q", "--hard", "HEAD~1")
                try expectServed(direct, repository, equals: tree, sourceLocation: sourceLocation)
            }
        }

        private struct Sites: Sendable {
            let proxy: FaultProxy
            let site: Site
            let direct: Site
        }

        private static let sites = Result {
            let bucket = try StoreUnderTest.seaweed.makeBucket()
            var setup = ServerProcess.Setup(bucket)
            setup.options = ["--push-attempts", "1", "--push-keepalive", "0"]
            let direct = try Site(setup)
            let proxy = try bucket.makeProxy()
            setup.proxy = proxy
            // Without a cache each request is sent, and so its answer can be lost.
            setup.options += ["--cache-size", "0"]
            return Sites(proxy: proxy, site: try Site(setup), direct: direct)
        }

        private static let swap = FaultProxy.Kind("PUT", .pointer)

        @Test func swapWhoseAnswerIsLostIsASuccess() throws {
            let fixture = try Fixture()
            fixture.proxy.on("PUT", .pointer, .loseAnswer)
            try fixture.expectPublished(try fixture.push())
        }

        @Test func swapThatIsAppliedAndSentAgainIsASuccess() throws {
            let fixture = try Fixture()
            fixture.proxy.on("PUT", .pointer, .sendTwice)
            try fixture.expectPublished(try fixture.push())
            #expect(fixture.proxy.entries.contains { $0.kind == Self.swap && $0.status == 412 })
        }

        @Test func swapThatIsAppliedLateIsASuccess() throws {
            let fixture = try Fixture()
            let late = FaultProxy.LateDelivery()
            fixture.proxy.on("PUT", .pointer, .deliverLate(late))
            // The read after the lost answer still returns the old state; then the swap is applied.
            fixture.proxy.on("GET", .pointer, after: Self.swap, .answerAfter(late))
            try fixture.expectPublished(try fixture.push())
        }

        @Test func swapThatIsAppliedAfterItsRepetitionHarmsNothing() throws {
            let fixture = try Fixture()
            let late = FaultProxy.LateDelivery()
            fixture.proxy.on("PUT", .pointer, .deliverLate(late))
            let result = try fixture.push()
            late.make()
            try fixture.expectPublished(result)
        }

        @Test func swapThatNeverArrivesIsRepeated() throws {
            let fixture = try Fixture()
            fixture.proxy.on("PUT", .pointer, .loseRequest)
            try fixture.expectPublished(try fixture.push())
        }

        @Test(arguments: [
            (503, "SlowDown"), (500, "InternalError"), (409, "ConditionalRequestConflict"),
        ])
        func swapThatIsTurnedAwayOnceIsRepeated(status: Int, code: String) throws {
            let fixture = try Fixture()
            fixture.proxy.on("PUT", .pointer, .answer(status, code))
            try fixture.expectPublished(try fixture.push())
        }

        @Test func swapThatAnotherPushWasBuiltOnIsASuccess() throws {
            let fixture = try Fixture()
            let gate = Gate()
            fixture.proxy.on("PUT", .pointer, .loseAnswer)
            fixture.proxy.on("GET", .pointer, after: Self.swap, .hold(gate))
            let push = Background { try fixture.push() }
            try wait(for: "the look after the lost answer") { fixture.proxy.pending == 0 }
            let rival = try fixture.pushRival()
            gate.open()
            let result = try push.value()
            #expect(result.succeeded, "\(result)")
            try expectServed(fixture.direct, fixture.repository, equals: rival)
            let ours = try fixture.tree.git("rev-parse", "HEAD")
            try rival.git("merge-base", "--is-ancestor", ours, "main")
        }

        @Test func swapThatNeverArrivedWhileAnotherCameIsALoss() throws {
            let fixture = try Fixture()
            let gate = Gate()
            fixture.proxy.on("PUT", .pointer, .loseRequest)
            fixture.proxy.on("GET", .pointer, after: Self.swap, .hold(gate))
            let push = Background { try fixture.push() }
            try wait(for: "the look after the lost request") { fixture.proxy.pending == 0 }
            let rival = try fixture.pushRival()
            gate.open()
            let result = try push.value()
            #expect(!result.succeeded && result.errors.contains("409"), "\(result)")
            try expectServed(fixture.direct, fixture.repository, equals: rival)
        }

        /// Pushes a new branch after a push by another client was published, so that a second swap
        /// is needed, to which `action` applies.
        private func pushAfterAnother(_ action: FaultProxy.Action) throws {
            let fixture = try Fixture()
            var setup = fixture.site.setup
            setup.options = []
            let site = try Site(setup)
            let gate = Gate()
            fixture.proxy.on("PUT", .pointer, .hold(gate))
            fixture.proxy.on("PUT", .pointer, action)
            let url = site.url(fixture.repository)
            let push = Background { try fixture.tree.attempt("push", url, "main:ours") }
            try wait(for: "the swap to be held") { fixture.proxy.pending == 1 }
            let rival = try fixture.pushRival()
            gate.open()
            let result = try push.value()
            #expect(result.succeeded, "\(result)")
            #expect(fixture.proxy.pending == 0)
            try rival.git("fetch", "-q", fixture.tree.path, "main:refs/heads/ours")
            try expectServed(fixture.direct, fixture.repository, equals: rival)
        }

        @Test func reappliedSwapWhoseAnswerIsLostIsASuccess() throws {
            try pushAfterAnother(.loseAnswer)
        }

        @Test func reappliedSwapThatIsSentTwiceIsASuccess() throws {
            try pushAfterAnother(.sendTwice)
        }

        @Test func reappliedSwapThatNeverArrivesIsRepeated() throws {
            try pushAfterAnother(.loseRequest)
        }

        @Test func lateSwapCannotUndoAnotherPush() throws {
            let fixture = try Fixture()
            let late = FaultProxy.LateDelivery()
            let gate = Gate()
            fixture.proxy.on("PUT", .pointer, .deliverLate(late))
            fixture.proxy.on("GET", .pointer, after: Self.swap, .hold(gate))
            let push = Background { try fixture.push() }
            try wait(for: "the look after the lost answer") { fixture.proxy.pending == 0 }
            let rival = try fixture.pushRival()
            late.make()
            gate.open()
            let result = try push.value()
            #expect(!result.succeeded && result.errors.contains("409"), "\(result)")
            try expectServed(fixture.direct, fixture.repository, equals: rival)
        }

        @Test func swapThatLandedAndCannotBeLookedAtIsNotCalledALossNorASuccess() throws {
            let fixture = try Fixture()
            fixture.proxy.on("PUT", .pointer, .loseAnswer)
            fixture.proxy.on(
                "GET", .pointer, after: Self.swap, times: 1000, .answer(503, "ServiceUnavailable"))
            let result = try fixture.push()
            #expect(!result.succeeded && result.errors.contains("503"), "\(result)")
            // A fetch shows that the swap had been applied.
            fixture.proxy.reset()
            try expectServed(fixture.direct, fixture.repository, equals: fixture.tree)
        }

        @Test func undeterminedPushSaysThatItMayHaveLanded() throws {
            let fixture = try Fixture()
            let tip = try fixture.tree.git("rev-parse", "main~1")
            let next = try fixture.tree.git("rev-parse", "main")
            fixture.proxy.on("PUT", .pointer, times: 1000, .loseAnswer)
            fixture.proxy.on(
                "GET", .pointer, after: Self.swap, times: 1000, .answer(503, "ServiceUnavailable"))
            let answer = try fixture.site.push(
                to: fixture.repository,
                PushBody(
                    [.init(old: tip, new: next, "refs/heads/main")],
                    capabilities: "report-status", pack: try fixture.tree.pack([next, "^\(tip)"])))
            #expect(answer.status == 503)
            #expect(answer.header("Retry-After") != nil)
            #expect(
                answer.text.contains("may have been applied") || answer.text.contains("is unknown"))
        }

        @Test func undeterminedPushSaysSoAlsoOnceItsAnswerHasBegun() throws {
            let fixture = try Fixture()
            var setup = fixture.site.setup
            setup.options = ["--push-keepalive", "1"]
            let site = try Site(setup)
            let gate = Gate()
            fixture.proxy.on("PUT", .pack, .hold(gate))
            fixture.proxy.on("PUT", .pointer, times: 1000, .loseAnswer)
            fixture.proxy.on(
                "GET", .pointer, after: Self.swap, times: 1000, .answer(503, "ServiceUnavailable"))
            let url = site.url(fixture.repository)
            let push = Background { try fixture.tree.attempt("push", url, "main") }
            try wait(for: "the pack to be on its way") {
                fixture.proxy.entries.contains { $0.kind == FaultProxy.Kind("PUT", .pack) }
            }
            let end = ContinuousClock.now + .seconds(2)
            try wait(for: "the keep-alive's time") { ContinuousClock.now >= end }
            gate.open()
            let result = try push.value()
            #expect(!result.succeeded, "\(result)")
            #expect(result.errors.contains("[remote rejected]"), "\(result)")
            #expect(result.errors.contains("may have been applied"), "\(result)")
            fixture.proxy.reset()
            try expectServed(fixture.direct, fixture.repository, equals: fixture.tree)
        }

        @Test func swapThatIsForbiddenChangesNothing() throws {
            let fixture = try Fixture()
            fixture.proxy.on("PUT", .pointer, times: 1000, .answer(403, "AccessDenied"))
            let result = try fixture.push()
            fixture.proxy.reset()
            try fixture.expectUnchanged(result, says: "500")
        }

        @Test(arguments: [FaultProxy.StoredKind.pack, .index, .manifest])
        func objectWhoseAnswerIsLostIsWrittenAgain(object: FaultProxy.StoredKind) throws {
            let fixture = try Fixture()
            fixture.proxy.on("PUT", object, .loseAnswer)
            try fixture.expectPublished(try fixture.push())
            #expect(fixture.proxy.counts["PUT \(object)"] == 2)
        }

        @Test(arguments: [FaultProxy.StoredKind.pack, .manifest])
        func objectThatCannotBeWrittenFailsThePushBeforeTheSwap(
            object: FaultProxy.StoredKind
        ) throws {
            let fixture = try Fixture()
            fixture.proxy.reset()
            fixture.proxy.on("PUT", object, times: 1000, .answer(503, "SlowDown"))
            let result = try fixture.push()
            #expect(fixture.proxy.counts["PUT pointer"] == nil)
            fixture.proxy.reset()
            try fixture.expectUnchanged(result, says: "503")
        }

        @Test(arguments: [FaultProxy.StoredKind.pointer, .manifest, .pack])
        func readWhoseAnswerIsLostIsRepeated(object: FaultProxy.StoredKind) throws {
            let fixture = try Fixture()
            fixture.proxy.on("GET", object, .loseAnswer)
            let copy = try WorkTree.clone(fixture.site.anonymousURL(fixture.repository), "-q")
            #expect(try copy.git("rev-parse", "HEAD") == fixture.tree.git("rev-parse", "main~1"))
            #expect(fixture.proxy.pending == 0)
        }

        @Test(arguments: [FaultProxy.StoredKind.pointer, .manifest, .pack, .index])
        func readThatIsCutShortIsRepeated(object: FaultProxy.StoredKind) throws {
            let fixture = try Fixture()
            fixture.proxy.on("GET", object, .cutAnswer)
            let tip = try fixture.tree.git("rev-parse", "main~1")
            let answer = try fixture.site.fetch(fixture.repository, [tip])
            #expect(answer.status == 200)
            #expect(fixture.proxy.pending == 0)
            #expect(fixture.proxy.counts["GET \(object)"] == 2)
        }

        @Test(arguments: [FaultProxy.StoredKind.pointer, .manifest, .pack])
        func objectThatIsAlteredOnItsWayIs500(object: FaultProxy.StoredKind) throws {
            let fixture = try Fixture()
            fixture.proxy.on(
                "GET", object, times: 1000,
                .alter { bytes in
                    var bytes = bytes
                    bytes[bytes.count / 2] ^= 1
                    return bytes
                })
            let tip = try fixture.tree.git("rev-parse", "main~1")
            #expect(try fixture.site.fetch(fixture.repository, [tip]).status == 500)
            let next = try fixture.tree.git("rev-parse", "main")
            let push = try fixture.site.push(
                to: fixture.repository,
                PushBody(
                    [.init(old: tip, new: next, "refs/heads/main")],
                    capabilities: "report-status", pack: try fixture.tree.pack([next, "^\(tip)"])))
            #expect(push.status == 500)
            #expect(fixture.proxy.counts["PUT pointer"] == nil)
        }

        @Test func storeThatCannotBeReachedIs503WithRetryAfter() throws {
            let fixture = try Fixture()
            fixture.proxy.on("GET", .pointer, times: 1000, .loseRequest)
            let answer = try fixture.site.advertisement(fixture.repository)
            #expect(answer.status == 503)
            #expect(answer.header("Retry-After") != nil)
            #expect(answer.header("Content-Type")?.hasPrefix("text/plain") == true)
            fixture.proxy.reset()
            #expect(try fixture.site.advertisement(fixture.repository).status == 200)
        }
    }
}
