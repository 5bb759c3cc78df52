import Bytes
import GitProtocol
import ObjectStore
import TestBench
import TestSupport
import Testing

@testable import Maintenance
@testable import Repository

/// Listing repositories.
@Suite struct RepositoryListingTests {
    private func names(in store: any ObjectStore) throws -> [String] {
        var names: [String] = []
        try RepositoryListing.forEach(in: store) { names.append("\($0)") }
        return names
    }

    private func create(_ name: String, in store: any ObjectStore) throws {
        let repository = try #require(RepositoryName(name))
        _ = try Creation(repository: repository, defaultBranch: nil, objectFormat: nil)
            .run(in: Manifests(store))
    }

    @Test func eachRepositoryIsListedOnceInKeyOrder() throws {
        let memory = MemoryStore()
        #expect(try names(in: memory) == [])
        for name in ["b/x", "a/z", "a-b/c", "a/pointer", "A/a"] { try create(name, in: memory) }
        #expect(try names(in: memory) == ["A/a", "a-b/c", "a/pointer", "a/z", "b/x"])
    }

    @Test func pagesAreReadAsNeeded() throws {
        let memory = MemoryStore()
        let digest = Digest(of: [])
        for number in 0..<2500 {
            let repository = try #require(RepositoryName("team/r\(10_000 + number)"))
            memory.plant(digest.bytes, at: .pointer(of: repository))
        }
        memory.resetCounts()
        var listing = RepositoryListing(of: memory)
        #expect(memory.counts.lists == 0)
        for _ in 0..<1000 { #expect(try listing.next() != nil) }
        #expect(memory.counts.lists == 1)
        #expect(try names(in: memory).count == 2500)
        #expect(memory.counts.lists == 1 + 4)
    }

    @Test func unreadablePageIsAnError() throws {
        struct Broken: ObjectStore {
            let location = "broken:"
            let retryPolicy = RetryPolicy(attempts: 1)
            func perform(_ requests: [StoreRequest]) -> [Result<StoreAnswer, StoreError>] { [] }
            func list(
                prefix: String, startingAfter: String?
            ) throws(StoreError) -> [ListedObject] {
                throw .unreachable(.init(.list, prefix), cause: "cut")
            }
        }
        #expect(throws: StoreError.self) { try names(in: Broken()) }
    }
}
