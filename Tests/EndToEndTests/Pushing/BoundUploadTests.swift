import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// The stored bytes are the pushed ones, or the push fails.
    @Suite struct BoundUploadTests {
        private static func flipped(_ bytes: [UInt8]) -> [UInt8] {
            var bytes = bytes
            if !bytes.isEmpty { bytes[bytes.count / 2] ^= 0x20 }
            return bytes
        }

        /// A site behind a proxy, and a second one without it.
        private func sites() throws -> (site: Site, direct: Site, proxy: FaultProxy) {
            let bucket = try StoreUnderTest.seaweed.makeBucket()
            var setup = ServerProcess.Setup(bucket)
            let direct = try Site(setup)
            let proxy = try bucket.makeProxy()
            setup.proxy = proxy
            return (try Site(setup), direct, proxy)
        }

        // P6
        @Test func packDamagedOnItsWayFailsThePush() throws {
            let (site, direct, proxy) = try sites()
            let (repository, tree) = try seeded(site)
            let published = try site.bucket.pointer(of: repository)
            try tree.commit("second")
            proxy.on("PUT", .pack, times: .max, .alterRequest(Self.flipped))
            let push = try tree.attempt("push", "origin", "main")
            #expect(!push.succeeded && !push.errors.contains("main -> main\n"), "\(push)")
            #expect(try site.bucket.pointer(of: repository) == published)
            #expect(site.log.contains("packs/"), "\(site.log)")
            // No damaged object is left: the same push succeeds once the network is reliable.
            proxy.reset()
            try tree.git("push", "-q", "origin", "main")
            try expectServed(direct, repository, equals: tree)
        }

        // P7
        @Test(arguments: stores)
        func damagedPackInTheStoreIsNotReliedOn(store: StoreUnderTest) throws {
            let site = try Site(store)
            let (first, tree) = try seeded(site)
            let pack = try #require(try site.bucket.packs(of: first).first)
            let good = try #require(try site.bucket.read(.pack(pack)))
            try site.bucket.overwrite(.pack(pack), with: Self.flipped(good))

            let second = try site.create()
            let empty = try site.bucket.pointer(of: second)
            try tree.git("remote", "add", "second", site.url(second))
            let push = try tree.attempt("push", "second", "main")
            #expect(!push.succeeded && push.text.isEmpty, "\(push)")
            #expect(
                push.errors.contains("damaged") || push.errors.contains("500"), "\(push)")
            #expect(try site.bucket.pointer(of: second) == empty)
            #expect(site.log.contains("packs/\(pack)"), "\(site.log)")

            try site.bucket.overwrite(.pack(pack), with: good)
            try tree.git("push", "-q", "second", "main")
            try expectServed(site, second, equals: tree)
        }

        // P7: the cost of relying on an existing pack. The server knows the SHA-256 of a pack only
        // if it was written with it.
        @Test(arguments: ["HEAD pack", "GET pack"])
        func existingPackIsLookedUpOrReadBackOnce(_ request: String) throws {
            let (site, direct, proxy) = try sites()
            let (first, tree) = try seeded(direct)
            if request == "GET pack" {
                let pack = try #require(try site.bucket.packs(of: first).first)
                let bytes = try #require(try site.bucket.read(.pack(pack)))
                try site.bucket.overwrite(.pack(pack), with: bytes)
            }
            let second = try direct.create()
            try tree.git("remote", "add", "second", site.url(second))
            proxy.reset()
            try tree.git("push", "-q", "second", "main")
            #expect(proxy.entries.contains { $0.kind == .init("PUT", .pack) && $0.status == 412 })
            #expect(proxy.counts["PUT pack"] == 1 && proxy.counts[request] == 1)
            let others = ["HEAD pack": 1, "GET pack": request == "HEAD pack" ? 0 : 1]
            for (kind, count) in others { #expect(proxy.counts[kind, default: 0] == count) }
        }

        // S9
        @Test func replacedBackendIsProbedBeforeTheNextWrite() throws {
            let bucket = try StoreUnderTest.seaweed.makeBucket()
            let (repository, tree) = try seeded(Site(ServerProcess.Setup(bucket)))
            let proxy = try bucket.makeProxy()
            var setup = ServerProcess.Setup(bucket)
            let state = try TemporaryDirectory()
            setup.state = state
            setup.proxy = proxy
            // A different backend was admitted at this address; this one ignores conditions.
            try bucket.admit(in: state.path, through: proxy, asServer: "another/1.0")
            setup.admission = .probed
            let site = try Site(setup)
            proxy.on("PUT", .probe, times: .max, .hideFailedCondition)

            try tree.git("remote", "set-url", "origin", site.url(repository))
            let published = try bucket.pointer(of: repository)
            try tree.commit("second")
            let push = try tree.attempt("push", "origin", "main")
            #expect(!push.succeeded, "\(push)")
            #expect(
                push.errors.contains("cannot be written") || push.errors.contains("503"), "\(push)")
            #expect(try bucket.pointer(of: repository) == published)
            #expect(proxy.counts["PUT pack"] == nil)
            #expect(site.log.contains("store failed the conformance probe"), "\(site.log)")
            // Reads continue to work.
            _ = try WorkTree.clone(site.anonymousURL(repository), "-q")
        }
    }
}
