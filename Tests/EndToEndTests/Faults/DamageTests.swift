import Synchronization
import TestSupport
import Testing

extension EndToEnd {
    /// Damage in the store, as requests detect it: these sites cache nothing. ``CacheTests`` cover
    /// damage in the cache.
    @Suite struct DamageTests {
        private static let sites = Mutex<[StoreUnderTest: Site]>([:])

        private static func site(_ store: StoreUnderTest) throws -> Site {
            try sites.withLock { sites in
                let site = try sites[store] ?? Site(store, options: ["--cache-size", "0"])
                sites[store] = site
                return site
            }
        }

        /// A repository of two packs.
        private func twoPacks(_ site: Site) throws -> (String, WorkTree, packs: [String]) {
            let (repository, tree) = try seeded(site)
            try tree.commit("second", String(repeating: "content ", count: 100))
            try tree.git("push", "-q", "origin", "main")
            let packs = try site.bucket.packs(of: repository)
            #expect(packs.count == 2)
            return (repository, tree, packs)
        }

        /// Expects that fetches and pushes fail with 500 while the damage lasts, and succeed after
        /// it is repaired.
        ///
        /// - Parameter advertised: allowed statuses of `info/refs`, which needs no objects.
        private func expectRefused(
            _ site: Site, _ repository: String, _ tree: WorkTree, advertised: [Int],
            damage item: Bucket.Item, _ change: ([UInt8]) -> [UInt8]?,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let original = try #require(try site.bucket.read(item), sourceLocation: sourceLocation)
            if let changed = change(original) {
                try site.bucket.overwrite(item, with: changed)
            } else {
                try site.bucket.delete(item)
            }
            let tip = try tree.git("rev-parse", "main")
            for service in ["git-upload-pack", "git-receive-pack"] {
                let answer = try site.advertisement(
                    repository, service: service, headers: [Site.authorization])
                #expect(
                    advertised.contains(answer.status), "\(service): \(answer.text)",
                    sourceLocation: sourceLocation)
                if answer.status == 200 {
                    #expect(
                        answer.text.contains("\(tip) refs/heads/main"),
                        sourceLocation: sourceLocation)
                }
            }
            let fetch = try site.fetch(repository, [tip])
            #expect(fetch.status == 500, "\(fetch.start)", sourceLocation: sourceLocation)
            #expect(fetch.header("X-Request-Id") != nil, sourceLocation: sourceLocation)
            let (_, clone) = try WorkTree.attemptClone(site.anonymousURL(repository), ["-q"])
            #expect(!clone.succeeded, "\(clone)", sourceLocation: sourceLocation)
            let next = try tree.commit("while damaged")
            let push = try site.push(
                to: repository,
                PushBody(
                    [.init(old: tip, new: next, "refs/heads/main")],
                    capabilities: "report-status", pack: try tree.pack([next, "^\(tip)"])))
            #expect(push.status == 500, "\(push.start)", sourceLocation: sourceLocation)

            try site.bucket.overwrite(item, with: original)
            try tree.git("reset", "-q", "--hard", tip)
            try expectServed(site, repository, equals: tree, sourceLocation: sourceLocation)
        }

        /// A valid manifest, but not the right one.
        private static let emptyManifest = Array(
            #"{"version":1,"head":"refs/heads/main","refs":{},"packs":[],"parent":null}"#.utf8)

        private static func flipped(_ bytes: [UInt8]) -> [UInt8] {
            var bytes = bytes
            bytes[bytes.count / 2] ^= 0x20
            return bytes
        }

        @Test(arguments: stores)
        func missingPackIs500(store: StoreUnderTest) throws {
            let site = try Self.site(store)
            let (repository, tree, packs) = try twoPacks(site)
            try expectRefused(
                site, repository, tree, advertised: [200, 500], damage: .pack(packs[0])
            ) { _ in nil }
        }

        @Test(arguments: stores)
        func flippedByteInAPackIs500(store: StoreUnderTest) throws {
            let site = try Self.site(store)
            let (repository, tree, packs) = try twoPacks(site)
            for pack in packs {
                try expectRefused(
                    site, repository, tree, advertised: [200, 500], damage: .pack(pack),
                    Self.flipped)
            }
        }

        @Test(arguments: stores)
        func cutPackIs500(store: StoreUnderTest) throws {
            let site = try Self.site(store)
            let (repository, tree, packs) = try twoPacks(site)
            try expectRefused(
                site, repository, tree, advertised: [200, 500], damage: .pack(packs[1])
            ) {
                Array($0.dropLast())
            }
        }

        @Test(arguments: stores)
        func otherPackInAPacksPlaceIs500(store: StoreUnderTest) throws {
            let site = try Self.site(store)
            let (repository, tree, packs) = try twoPacks(site)
            let other = try site.bucket.read(.pack(packs[1])) ?? []
            try expectRefused(
                site, repository, tree, advertised: [200, 500], damage: .pack(packs[0])
            ) { _ in other }
        }

        @Test(arguments: stores)
        func missingFlippedCutOrEmptyManifestIs500(store: StoreUnderTest) throws {
            let site = try Self.site(store)
            let (repository, tree, _) = try twoPacks(site)
            let manifest = Bucket.Item.manifest(try site.bucket.pointer(of: repository))
            let damages: [([UInt8]) -> [UInt8]?] = [
                { _ in nil }, Self.flipped, { Array($0.dropLast()) }, { _ in [] },
                { _ in Self.emptyManifest },
            ]
            for damage in damages {
                try expectRefused(
                    site, repository, tree, advertised: [500], damage: manifest, damage)
            }
        }

        @Test(arguments: stores)
        func pointerThatIsNoDigestOrNamesNothingIs500(store: StoreUnderTest) throws {
            let site = try Self.site(store)
            let (repository, tree, _) = try twoPacks(site)
            let damages: [([UInt8]) -> [UInt8]?] = [
                Self.flipped, { Array($0.dropLast()) }, { $0 + [10] }, { _ in [] },
                { _ in Array(repeating: UInt8(ascii: "0"), count: 64) },
                { Array(text($0).uppercased().utf8) },
                { _ in Array(repeating: 0, count: 5000) },
            ]
            for damage in damages {
                try expectRefused(
                    site, repository, tree, advertised: [500], damage: .pointer(repository), damage)
            }
        }

        @Test(arguments: stores)
        func missingPointerIs404(store: StoreUnderTest) throws {
            let site = try Self.site(store)
            let (repository, _, _) = try twoPacks(site)
            try site.bucket.delete(.pointer(repository))
            #expect(try site.advertisement(repository).status == 404)
        }

        /// The ways in which an index is damaged.
        enum IndexDamage: String, CaseIterable, Sendable {
            case missing, empty, cut, flipped, ofAnotherPack
        }

        @Test(arguments: stores, IndexDamage.allCases)
        func badIndexIsRepairedWhileServing(store: StoreUnderTest, damage: IndexDamage) throws {
            let site = try Self.site(store)
            let (repository, tree, packs) = try twoPacks(site)
            let item = Bucket.Item.index(packs[0])
            let original = try #require(try site.bucket.read(item))
            switch damage {
            case .missing: try site.bucket.delete(item)
            case .empty: try site.bucket.overwrite(item, with: [])
            case .cut: try site.bucket.overwrite(item, with: Array(original.dropLast(7)))
            case .flipped: try site.bucket.overwrite(item, with: Self.flipped(original))
            case .ofAnotherPack:
                try site.bucket.overwrite(
                    item, with: try site.bucket.read(.index(packs[1])) ?? [])
            }
            let tip = try tree.git("rev-parse", "main")
            #expect(try site.fetch(repository, [tip]).status == 200)
            #expect(try site.bucket.read(item) == original)
            try expectServed(site, repository, equals: tree)
        }

        @Test(arguments: stores)
        func badIndexDoesNotKeepAPushOut(store: StoreUnderTest) throws {
            let site = try Self.site(store)
            let (repository, tree, packs) = try twoPacks(site)
            let original = try #require(try site.bucket.read(.index(packs[1])))
            try site.bucket.delete(.index(packs[1]))
            try tree.commit("third")
            try tree.git("push", "-q", "origin", "main")
            #expect(try site.bucket.read(.index(packs[1])) == original)
            try expectServed(site, repository, equals: tree)
        }
    }
}
