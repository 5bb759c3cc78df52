import Bytes
import GitProtocol
import ObjectStore
import TestBench
import TestSupport
import Testing

@testable import Maintenance
@testable import Repository

/// A published state as JSON.
@Suite struct StateDescriptionTests {
    private func text(_ json: JSONBytes) -> String {
        String(decoding: json.written, as: UTF8.self)
    }

    private func snapshot(_ manifest: Manifest) throws -> Snapshot {
        Snapshot(
            repository: try #require(RepositoryName("team/site")),
            etag: try #require(ETag("\"x\"")), digest: Digest(of: [1]), manifest: manifest)
    }

    @Test func bytesAreThePinnedOnes() throws {
        let id = try #require(ObjectID(Array(String(repeating: "a", count: 40).utf8)))
        let tag = try #require(ObjectID(Array(String(repeating: "b", count: 40).utf8)))
        let pack = Digest(of: [2])
        let name = try #require(RefName("refs/tags/\u{e9}\"1"))
        let manifest = Manifest(
            head: .main, refs: [.main: id, name: tag], packs: [pack], parent: Digest(of: [3]),
            peeled: [name: id])
        let described = StateDescription(try snapshot(manifest))
        let identity =
            "{\"name\":\"team/site\",\"deleted\":false,\"manifest\":\"\(Digest(of: [1]))\","
            + "\"parent\":\"\(Digest(of: [3]))\",\"head\":\"refs/heads/main\","
            + "\"objectFormat\":\"sha1\","
        let refs =
            "\"refs\":[{\"name\":\"refs/heads/main\",\"id\":\"\(id)\"},"
            + "{\"name\":\"refs/tags/\u{e9}\\\"1\",\"id\":\"\(tag)\",\"peeled\":\"\(id)\"}],"
        #expect(
            text(described.whole(sizes: [:]))
                == identity + refs + "\"packs\":[{\"key\":\"packs/\(pack)\"}]}")
        #expect(
            text(described.whole(sizes: [pack: 1_234_567_890_123]))
                == identity + refs
                + "\"packs\":[{\"key\":\"packs/\(pack)\",\"size\":1234567890123}]}")
        #expect(text(described.summary) == identity + "\"refCount\":2,\"packCount\":1}")
    }

    @Test func tombstoneAndFirstStateAreMarked() throws {
        let manifest = Manifest(kind: .tombstone, head: .main, objectFormat: .sha256)
        #expect(
            text(StateDescription(try snapshot(manifest)).whole(sizes: [:]))
                == "{\"name\":\"team/site\",\"deleted\":true,\"manifest\":\"\(Digest(of: [1]))\","
                + "\"parent\":null,\"head\":\"refs/heads/main\",\"objectFormat\":\"sha256\","
                + "\"refs\":[],\"packs\":[]}")
    }

    @Test func anyStringIsReadBack() throws {
        var random = SplitMix64(seed: 3)
        for _ in 0..<200 {
            let scalars = (0..<8).compactMap { _ in Unicode.Scalar(UInt32(random.next() % 0x250)) }
            let bytes = Array(scalars.map(String.init).joined().utf8)
            let value = JSONBytes.object([
                (bytes, .array([.string(bytes), .null, .bool(true), .integer(-7)])),
                (bytes + [0x61], .object([])), (bytes + [0x62], .array([])),
            ])
            #expect(try JSONBytes(parsing: value.written) == value)
        }
    }
}

/// Resolving several repositories.
@Suite struct ResolvingSeveralTests {
    @Test func manyNamesAreResolvedInTwoSteps() throws {
        let memory = MemoryStore()
        let names = try (0..<6).map { try #require(RepositoryName("team/r\($0)")) }
        for name in names.dropFirst() {
            _ = try Creation(repository: name, defaultBranch: nil, objectFormat: nil).run(
                in: Manifests(memory))
        }
        _ = try Deletion(of: names[1]).run(in: Manifests(memory))
        memory.plant(Array("x".utf8), at: .pointer(of: names[2]))
        let missing = Digest(of: [9])
        memory.plant(missing.bytes, at: .pointer(of: names[3]))
        let wrong = Digest(of: [8])
        memory.plant(wrong.bytes, at: .pointer(of: names[4]))
        memory.plant([7], at: .manifest(wrong))

        let log = BatchLog(memory)
        let results = Manifests(log).resolve(names)
        #expect(log.batches.map(\.count) == [6, 4])
        for (name, result) in zip(names, results) {
            let alone = Result { try Manifests(memory).resolve(name) }
            switch (alone, result) {
            case (.success(.absent), .success(.absent)): #expect(name == names[0])
            case (.success(.deleted(let a)), .success(.deleted(let b))),
                (.success(.live(let a)), .success(.live(let b))):
                #expect(a.digest == b.digest && a.etag == b.etag && a.manifest == b.manifest)
                #expect(name == names[1] || name == names[5])
            case (.failure, .failure(let error)): #expect(error is StoreError)
            default: Issue.record("\(name): \(result), alone \(alone)")
            }
        }
        #expect(Manifests(log).resolve([]).isEmpty)
    }
}
