import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// A pack that is uploaded in parts and downloaded in ranges.
    @Suite struct LargeObjectTests {
        private struct Fixture {
            let proxy: FaultProxy
            let site: Site
            let repository: String
            let tree: WorkTree

            init() throws {
                let bucket = try StoreUnderTest.seaweed.makeBucket()
                proxy = try bucket.makeProxy()
                site = try Self.site(bucket, proxy)
                (repository, tree) = try seeded(site)
                try tree.git("config", "core.compression", "0")
                proxy.reset()
            }

            /// A site that uses the smallest parts that S3 accepts.
            static func site(_ bucket: Bucket, _ proxy: FaultProxy) throws -> Site {
                var setup = ServerProcess.Setup(bucket)
                setup.proxy = proxy
                setup.storeItems = "&part-size=5M&multipart-threshold=5M"
                return try Site(setup)
            }

            /// Commits a file that results in a pack of three parts.
            func commitLarge() throws {
                var random = SplitMix64(seed: 1)
                let bytes = (0..<(11 << 17)).flatMap { _ in
                    withUnsafeBytes(of: random.next()) { Array($0) }
                }
                try tree.commit("large", bytes: bytes)
            }
        }

        @Test func packArrivesInSpiteOfFaultsOnItsWay() throws {
            let fixture = try Fixture()
            try fixture.commitLarge()
            fixture.proxy.on("PUT", .part, .answer(503, "SlowDown"))
            fixture.proxy.on("PUT", .part, .loseAnswer)
            fixture.proxy.on("POST", .upload, .loseAnswer)
            try fixture.tree.git("push", "-q", "origin", "main")
            let pushed = fixture.proxy.counts
            #expect(pushed["POST uploads"] == 1)
            #expect(pushed["PUT part"] == 5)
            #expect(pushed["POST upload"] == 1)
            #expect(pushed["PUT pack"] == nil)

            // Another instance, which has cached nothing.
            let other = try Fixture.site(fixture.site.bucket, fixture.proxy)
            fixture.proxy.reset()
            fixture.proxy.on("GET", .pack, times: 3, .cutAnswer)
            let copy = try WorkTree.clone(other.anonymousURL(fixture.repository), "-q", "--bare")
            #expect(try copy.git("rev-parse", "main") == fixture.tree.git("rev-parse", "main"))
            try copy.git("fsck", "--full", "--strict")
            #expect(fixture.proxy.pending == 0)
        }

        @Test func pushWhosePartsAreRefusedChangesNothing() throws {
            let fixture = try Fixture()
            let before = try fixture.site.bucket.listing()
            try fixture.commitLarge()
            fixture.proxy.on("PUT", .part, times: 1000, .answer(403, "AccessDenied"))
            #expect(try !fixture.tree.attempt("push", "-q", "origin", "main").succeeded)
            #expect(fixture.proxy.counts["DELETE upload"] == 1)
            #expect(fixture.proxy.counts["PUT pointer"] == nil)
            // The index and the manifest may have been written, but nothing points to them.
            let after = try fixture.site.bucket.listing()
            #expect(Set(before).isSubset(of: after))
            #expect(
                after.filter { $0.hasPrefix("repos/") } == before.filter { $0.hasPrefix("repos/") })

            fixture.proxy.reset()
            try fixture.tree.git("push", "-q", "origin", "main")
            try expectServed(fixture.site, fixture.repository, equals: fixture.tree)
        }

        /// An instance is killed while parts are uploaded: the old state remains, and the push can
        /// be repeated.
        @Test func responderKilledInTheMiddleOfAnUploadLeavesTheOldState() throws {
            let fixture = try Fixture()
            let tip = try fixture.tree.git("rev-parse", "main")
            try fixture.commitLarge()
            let gate = Gate()
            fixture.proxy.on("PUT", .part, .hold(gate))
            let push = Background { try fixture.tree.attempt("push", "-q", "origin", "main") }
            try wait(for: "a part to be on its way") { fixture.proxy.counts["PUT part"] != nil }
            fixture.site.instance.signal(9)
            #expect(try !push.value().succeeded)
            gate.open()

            let other = try Fixture.site(fixture.site.bucket, fixture.proxy)
            let served = try fixture.tree.git("ls-remote", other.url(fixture.repository), "main")
            #expect(served.hasPrefix(tip))
            try fixture.tree.git("push", "-q", other.url(fixture.repository), "main")
            try expectServed(other, fixture.repository, equals: fixture.tree)
        }
    }
}
