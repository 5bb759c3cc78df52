import Bytes
import GitProtocol
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Maintenance
@testable import Repository

/// Resolving a repository.
@Suite struct SnapshotTests {
    private func resolve(_ bench: Bench) throws -> Snapshot.Resolution {
        try Manifests(bench.store).resolve(bench.repository)
    }

    @Test func resolvingReadsPointerAndManifest() throws {
        let bench = try Bench()
        guard case .live = try resolve(bench) else {
            Issue.record("not live")
            return
        }
        #expect(bench.memory.counts == .init(gets: 2))
        let other = try #require(RepositoryName("owner/other"))
        bench.memory.resetCounts()
        guard case .absent = try Manifests(bench.store).resolve(other) else {
            Issue.record("not absent")
            return
        }
        #expect(bench.memory.counts == .init(gets: 1))
    }

    @Test func tombstoneIsMissingAndCanBeCreatedAgain() throws {
        let bench = try Bench()
        let last = try bench.published()
        let body = try Manifest(
            kind: .tombstone, head: last.manifest.head, parent: last.digest
        ).canonicalBytes()
        bench.memory.plant(body, at: .manifest(Digest(of: body)))
        bench.memory.plant(Digest(of: body).bytes, at: .pointer(of: bench.repository))
        guard case .deleted = try resolve(bench) else {
            Issue.record("not deleted")
            return
        }
        let creation = Creation(
            repository: bench.repository, defaultBranch: nil, objectFormat: nil)
        #expect(try creation.run(in: Manifests(bench.store)) == .created)
        #expect(try bench.published().manifest.parent == Digest(of: body))
        #expect(try bench.published().digest != last.digest, "no state ever returns")
    }

    @Test(arguments: [
        "", "x", "main", String(repeating: "A", count: 64), String(repeating: "a", count: 63),
        String(repeating: "a", count: 64) + "\n", " " + String(repeating: "a", count: 64),
        String(repeating: "a", count: 5000),
    ])
    func invalidPointerIsDamage(text: String) throws {
        let bench = try Bench()
        bench.memory.plant(Array(text.utf8), at: .pointer(of: bench.repository))
        #expect(throws: StoreError.self) { try resolve(bench) }
    }

    @Test func invalidManifestIsDamage() throws {
        let bench = try Bench()
        let digest = try bench.published().digest
        let good = try #require(bench.memory.bytes(at: .manifest(digest)))
        bench.memory.plant(nil, at: .manifest(digest))
        #expect(throws: StoreError.self) { try resolve(bench) }
        for offset in good.indices {
            var flipped = good
            flipped[offset] ^= 1
            bench.memory.plant(flipped, at: .manifest(digest))
            #expect(throws: StoreError.self) { try resolve(bench) }
        }
        bench.memory.plant(Array(good.dropLast()), at: .manifest(digest))
        #expect(throws: StoreError.self) { try resolve(bench) }
        // Under its right name, but not a manifest.
        for text in ["", "{}", "null", "{\"version\":3}"] {
            let bytes = Array(text.utf8)
            bench.memory.plant(bytes, at: .manifest(Digest(of: bytes)))
            bench.memory.plant(Digest(of: bytes).bytes, at: .pointer(of: bench.repository))
            #expect(throws: RepositoryError.self) { try resolve(bench) }
        }
    }

    @Test func concurrentCreationsCreateOneRepository() throws {
        let store = MemoryStore()
        let name = try #require(RepositoryName("owner/new"))
        let branches = try (0..<8).map { try #require(RefName("refs/heads/b\($0)")) }
        let outcomes = try concurrently(8) { number in
            do {
                let creation = Creation(
                    repository: name, defaultBranch: branches[number], objectFormat: nil)
                return try creation.run(in: Manifests(store)) == .created ? number : -1
            } catch is Creation.Conflict {
                return -1
            }
        }
        let creators = outcomes.filter { $0 >= 0 }
        #expect(creators.count == 1)
        guard case .live(let snapshot) = try Manifests(store).resolve(name) else {
            Issue.record("not live")
            return
        }
        #expect(snapshot.manifest.head == branches[try #require(creators.first)])
    }

    @Test func creatingAgainIsHarmlessUnlessTheWishDiffers() throws {
        let bench = try Bench()
        func create(_ branch: String?, _ format: ObjectFormat?) throws -> Creation.Outcome {
            try Creation(
                repository: bench.repository, defaultBranch: branch.flatMap { RefName($0) },
                objectFormat: format
            ).run(in: Manifests(bench.store))
        }
        let before = try bench.published().digest
        #expect(try create(nil, nil) == .existed)
        #expect(try create("refs/heads/main", .sha1) == .existed)
        #expect(throws: Creation.Conflict.self) { try create("refs/heads/trunk", nil) }
        #expect(throws: Creation.Conflict.self) { try create(nil, .sha256) }
        #expect(try bench.published().digest == before)
    }
}
