import Bytes
import GitProtocol
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Git
@testable import Hydration
@testable import Repository

/// Hydrating a workspace.
@Suite struct HydrationTests {
    /// A bench with two packs published.
    private func filled() throws -> Bench {
        let bench = try Bench()
        try bench.push(bench.onePush("one"))
        try bench.push(bench.onePush("two"))
        bench.memory.resetCounts()
        return bench
    }

    private func hydrate(_ bench: Bench) throws {
        _ = try bench.hydration().readWorkspace(
            try bench.published(), log: Bench.log, limits: .none)
    }

    @Test func eachPackAndIndexIsReadOnceAndNothingIsLeft() throws {
        let bench = try filled()
        let snapshot = try bench.published()
        bench.memory.resetCounts()
        do {
            let workspace = try bench.hydration().readWorkspace(
                snapshot, log: Bench.log, limits: .none)
            #expect(try bench.leftovers().count == 1)
            try Command.runGit(["fsck", "--full"], in: workspace.path)
        }
        #expect(bench.memory.counts == .init(gets: 4))
        #expect(try bench.leftovers().isEmpty)
    }

    @Test func emptyRepositoryHasHEADOnItsBranch() throws {
        for format in [ObjectFormat.sha1, .sha256] {
            let bench = try Bench(format: format)
            let workspace = try bench.hydration().readWorkspace(
                try bench.published(), log: Bench.log, limits: .none)
            #expect(
                try Command.runGit(["symbolic-ref", "HEAD"], in: workspace.path).line
                    == "refs/heads/main")
            #expect(
                try Command.runGit(["rev-parse", "--show-object-format"], in: workspace.path).line
                    == format.rawValue)
        }
    }

    @Test func damagedPackFailsAndLeavesNoWorkspace() throws {
        let bench = try filled()
        let digest = try #require(try bench.published().manifest.packs.first)
        let good = try #require(bench.memory.bytes(at: .pack(digest)))
        var flipped = good
        flipped[good.count / 2] ^= 1
        for bytes in [nil, [], flipped, Array(good.dropLast()), good + [0]] as [[UInt8]?] {
            bench.memory.plant(bytes, at: .pack(digest))
            #expect(throws: StoreError.self) { try hydrate(bench) }
            #expect(throws: StoreError.self) { _ = try bench.receive(bench.onePush()) }
            #expect(try bench.leftovers().isEmpty)
        }
        bench.memory.plant(good, at: .pack(digest))
        try hydrate(bench)
    }

    @Test(arguments: ["", "x", "PACK", "a long text that is no pack at all"])
    func objectThatIsNoPackIsDamage(text: String) throws {
        let bench = try filled()
        let bytes = Array(text.utf8)
        var manifest = try bench.published().manifest
        manifest.packs.insert(Digest(of: bytes))
        bench.memory.plant(bytes, at: .pack(Digest(of: bytes)))
        let body = try manifest.canonicalBytes()
        bench.memory.plant(body, at: .manifest(Digest(of: body)))
        bench.memory.plant(Digest(of: body).bytes, at: .pointer(of: bench.repository))
        #expect(throws: StoreError.self) { try hydrate(bench) }
    }

    @Test func invalidIndexIsRebuiltAndRepaired() throws {
        let bench = try filled()
        let packs = try bench.published().manifest.packs.sorted { $0.hex < $1.hex }
        let good = try #require(bench.memory.bytes(at: .packIndex(packs[0])))
        let other = try #require(bench.memory.bytes(at: .packIndex(packs[1])))
        var flipped = good
        flipped[good.count / 2] ^= 1
        for bad in [nil, [], Array(good.dropLast(3)), flipped, other] as [[UInt8]?] {
            bench.memory.plant(bad, at: .packIndex(packs[0]))
            #expect(try !bench.check().isEmpty)
            #expect(bench.memory.bytes(at: .packIndex(packs[0])) == good)
            bench.memory.resetCounts()
            try hydrate(bench)
            #expect(bench.memory.counts.puts == 0)
        }
    }

    @Test func unrepairableIndexDoesNoHarm() throws {
        let bench = try Bench { memory in
            FaultyStore(
                wrapping: memory,
                [FaultRule(.denied, keys: { $0.path.hasSuffix(".idx") }, sparing: 1)])
        }
        let push = try bench.onePush()
        #expect(try bench.push(push).isPublished)
        let pack = try #require(try bench.published().manifest.packs.first)
        bench.memory.plant(nil, at: .packIndex(pack))
        #expect(try bench.check().contains(push.commands[0].new))
        #expect(bench.memory.bytes(at: .packIndex(pack)) == nil)
    }
}
