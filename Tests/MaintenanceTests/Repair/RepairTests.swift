import Bytes
import GitProtocol
import Glibc
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Cache
@testable import Git
@testable import Hydration
@testable import Maintenance
@testable import Repository

/// A repository of two packs, in a store in memory, and how it is checked and repaired.
struct RepairScene {
    let bench: Bench
    let state: Snapshot
    /// Of the first push and the second.
    let packs: [Digest]
    let scratch: TemporaryDirectory

    /// - Parameter cacheSize: 0 leaves no copies on this machine.
    init(
        cacheSize: Int64 = 1 << 30, format: ObjectFormat = .sha1, _ rules: [FaultRule] = []
    ) throws {
        let armed = Box(false)
        bench = try Bench(format: format, cacheSize: cacheSize) {
            FaultyStore(wrapping: $0, rules.once(armed))
        }
        try bench.push(bench.onePush(), to: bench.memory)
        let first = try bench.published().manifest.packs
        try bench.push(bench.onePush(to: "refs/heads/other"), to: bench.memory)
        state = try bench.published()
        packs = Array(first) + Array(state.manifest.packs.subtracting(first))
        scratch = try TemporaryDirectory()
        if cacheSize > 0 {
            // A push through another store does not cache its manifest.
            let manifests = bench.state.path + "/manifests"
            try Files.makeDirectories(manifests)
            try Files.write(manifest, to: "\(manifests)/\(state.digest)")
        }
        bench.memory.resetCounts()
        armed.value = true
    }

    var memory: MemoryStore { bench.memory }
    var manifest: [UInt8] { memory.bytes(at: .manifest(state.digest)) ?? [] }

    /// The findings and the outcome of a run.
    struct Run {
        var findings: [String] = []
        var outcome = RepairOutcome()
    }

    func run(
        _ mode: Repair.Mode = .repair, from directories: [String] = [],
        warn: @escaping (String) -> Void = { _ in }
    ) throws -> Run {
        var run = Run()
        let copies = GoodCopies(inCacheOf: bench.state.path, and: directories, warn: warn)
        // As the command has it: with nothing kept.
        let hydration = Hydration(store: bench.store, state: bench.state, git: bench.git, hook: "")
        run.outcome = try Repair(
            of: bench.repository, with: hydration, copies: copies, mode: mode
        ) { run.findings.append("\($0)") }.run()
        return run
    }

    /// Damages an object; nil takes it away.
    func damage(_ key: ObjectKey, _ change: ([UInt8]) -> [UInt8]?) throws -> [UInt8] {
        let original = try #require(memory.bytes(at: key))
        memory.plant(change(original), at: key)
        return original
    }

    static func flipped(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        bytes[bytes.count / 2] ^= 0x20
        return bytes
    }

    /// Kinds of damage, none of which keeps the bytes.
    static let damages: [@Sendable ([UInt8]) -> [UInt8]?] = [
        { _ in nil }, { flipped($0) }, { Array($0.dropLast()) }, { _ in [] },
    ]
}

/// Repairing a repository.
@Suite struct RepairTests {
    typealias Scene = RepairScene

    @Test func goodRepositoryIsReadAndNothingIsWritten() throws {
        let scene = try Scene()
        let run = try scene.run()
        #expect(run.findings == [])
        #expect(run.outcome.isWhole)
        #expect(run.outcome.objects == 5)
        #expect(scene.memory.counts.puts == 0)
        #expect(try scene.bench.leftovers() == [])
    }

    @Test(arguments: Scene.damages.indices)
    func packIsRewrittenFromTheCache(damage: Int) throws {
        let scene = try Scene()
        let original = try scene.damage(.pack(scene.packs[0]), Scene.damages[damage])
        let run = try scene.run()
        let copy = "\(scene.bench.state.path)/packs/\(scene.packs[0]).pack"
        #expect(run.findings.count == 1)
        #expect(run.findings.first?.hasSuffix("; rewritten from '\(copy)'.") == true)
        #expect(run.outcome.isWhole)
        #expect(scene.memory.bytes(at: .pack(scene.packs[0])) == original)
        #expect(scene.memory.counts.puts == 1)
        _ = try scene.bench.check()
    }

    @Test func indexIsRebuiltFromItsPack() throws {
        let scene = try Scene()
        let foreign = scene.memory.bytes(at: .packIndex(scene.packs[1]))
        for damage in Scene.damages + [{ _ in foreign }] {
            let original = try scene.damage(.packIndex(scene.packs[0]), damage)
            let run = try scene.run()
            #expect(run.findings.count == 1)
            #expect(run.findings.first?.hasSuffix("; rebuilt from its pack.") == true)
            #expect(run.outcome.isWhole)
            #expect(scene.memory.bytes(at: .packIndex(scene.packs[0])) == original)
        }
    }

    @Test(arguments: [ObjectFormat.sha1, .sha256])
    func packAndIndexAreRepairedTogether(format: ObjectFormat) throws {
        let scene = try Scene(format: format)
        for pack in scene.packs {
            scene.memory.plant(nil, at: .pack(pack))
            scene.memory.plant(nil, at: .packIndex(pack))
        }
        let run = try scene.run()
        #expect(run.findings.count == 4)
        #expect(run.outcome.isWhole)
        _ = try scene.bench.check()
    }

    @Test(arguments: Scene.damages.indices)
    func manifestIsRewrittenFromTheCache(damage: Int) throws {
        let scene = try Scene()
        let original = try scene.damage(.manifest(scene.state.digest), Scene.damages[damage])
        #expect(throws: (any Error).self) { try scene.bench.published() }
        let run = try scene.run()
        #expect(run.findings.count == 1)
        #expect(run.outcome.isWhole)
        #expect(scene.memory.bytes(at: .manifest(scene.state.digest)) == original)
        #expect(try scene.bench.published().digest == scene.state.digest)
    }

    @Test func lostManifestIsReported() throws {
        let scene = try Scene(cacheSize: 0)
        _ = try scene.damage(.manifest(scene.state.digest), Scene.flipped)
        let run = try scene.run()
        #expect(run.findings.first?.hasSuffix("; not repaired: no good copy was found.") == true)
        #expect(run.outcome.incompleteRefs == nil)
        #expect(!run.outcome.isWhole)
        #expect(scene.memory.counts.puts == 0)
    }

    @Test func copyInADirectoryIsRecognizedByItsBytes() throws {
        let scene = try Scene(cacheSize: 0)
        let directory = scene.scratch.path + "/backup"
        try Files.makeDirectories(directory + "/deep/er")
        let pack = try scene.damage(.pack(scene.packs[0])) { _ in nil }
        let manifest = try scene.damage(.manifest(scene.state.digest), Scene.flipped)
        try Files.write(Scene.flipped(pack), to: "\(directory)/\(scene.packs[0]).pack")
        try Files.write(Array("PACK".utf8), to: directory + "/deep/short")
        try Files.write([], to: directory + "/empty")
        try Files.write(pack, to: scene.scratch.path + "/elsewhere")
        #expect(symlink("../../../elsewhere", directory + "/deep/er/pack-1.pack") == 0)
        #expect(symlink("..", directory + "/deep/round") == 0)
        #expect(mkfifo(directory + "/fifo", 0o600) == 0)
        try Files.write(manifest, to: directory + "/state.json")

        let run = try scene.run(from: [directory])
        #expect(run.findings.count == 2)
        #expect(run.outcome.isWhole)
        #expect(scene.memory.bytes(at: .pack(scene.packs[0])) == pack)
        #expect(scene.memory.bytes(at: .manifest(scene.state.digest)) == manifest)
    }

    @Test func damagedCopyIsNotStored() throws {
        let scene = try Scene()
        let copy = "\(scene.bench.state.path)/packs/\(scene.packs[0]).pack"
        let pack = try scene.damage(.pack(scene.packs[0])) { _ in nil }
        #expect(chmod(copy, 0o600) == 0)
        try Files.write(Scene.flipped(pack), to: copy)
        let run = try scene.run(from: [scene.bench.state.path])
        #expect(
            run.findings == [
                "packs/\(scene.packs[0]): missing; not repaired: "
                    + "no good copy was found."
            ])
        #expect(scene.memory.counts.puts == 0)
    }

    @Test func checkWritesNothingAndReportsWhatCanBeRepaired() throws {
        let scene = try Scene()
        _ = try scene.damage(.pack(scene.packs[0]), Scene.flipped)
        scene.memory.plant(nil, at: .packIndex(scene.packs[1]))
        let run = try scene.run(.check)
        #expect(run.findings.count == 2)
        #expect(run.outcome.findings.allSatisfy { !$0.isRepaired && !$0.isLost })
        #expect(run.outcome.incompleteRefs == [])
        #expect(!run.outcome.isWhole)
        #expect(scene.memory.counts.puts == 0)
    }

    @Test func refsThatNeedALostPackAreReported() throws {
        let scene = try Scene(cacheSize: 0)
        _ = try scene.damage(.pack(scene.packs[1]), Scene.flipped)
        let run = try scene.run()
        #expect(run.outcome.lost.map(\.key) == [.pack(scene.packs[1])])
        #expect(run.outcome.incompleteRefs?.map(\.description) == ["refs/heads/other"])
        #expect(run.outcome.earlierState == scene.state.manifest.parent)
        #expect(!run.outcome.isWhole)
        #expect(scene.memory.counts.puts == 0)
    }

    @Test func lostPackThatNoRefNeedsIsReported() throws {
        let scene = try Scene(cacheSize: 0)
        let small = try SmallPack(blob: "nobody's")
        var manifest = scene.state.manifest
        manifest.packs.insert(small.digest)
        let swap = Swap(of: scene.bench.repository, from: scene.state, in: Manifests(scene.memory))
        _ = try swap.publish(manifest, with: [.packIndex(of: small.digest, .bytes(small.index))])
        let run = try scene.run()
        #expect(run.outcome.lost.map(\.key) == [.pack(small.digest)])
        #expect(run.outcome.incompleteRefs == [])
        #expect(run.outcome.earlierState == scene.state.digest)
        #expect(!run.outcome.isWhole)
    }

    @Test func refToAnObjectOfNoPackIsReported() throws {
        let scene = try Scene()
        var manifest = scene.state.manifest
        let name = try #require(RefName("refs/heads/broken"))
        manifest.refs[name] = ObjectID(Array(String(repeating: "a", count: 40).utf8))
        _ = try Swap(of: scene.bench.repository, from: scene.state, in: Manifests(scene.memory))
            .publish(manifest)
        let run = try scene.run()
        #expect(run.findings == [])
        #expect(run.outcome.incompleteRefs == [name])
        #expect(!run.outcome.isWhole)
    }

    @Test func damagedSidecarsAreRebuilt() throws {
        let scene = try Scene()
        for sidecar in PackSidecar.allCases {
            scene.memory.plant(Array("BITM nonsense".utf8), at: sidecar.key(of: scene.packs[0]))
        }
        #expect(try scene.run(.check).outcome.isWhole, "git does without")
        let run = try scene.run()
        #expect(run.findings.count == 2)
        #expect(run.findings.allSatisfy { $0.hasSuffix("; rebuilt from its pack.") })
        #expect(run.outcome.isWhole)
        #expect(try scene.run().findings == [])
    }

    @Test func silentStoreIsAnErrorAndNotDamage() throws {
        let scene = try Scene([FaultRule(.unavailable, on: [.get])])
        #expect(throws: StoreError.self) { try scene.run() }
        #expect(scene.memory.counts.puts == 0)
    }

    @Test func unreadableObjectIsDamaged() throws {
        let key = Box<ObjectKey?>(nil)
        let scene = try Scene([
            FaultRule(.badSector, on: [.get], keys: { $0 == key.value }, limit: 2)
        ])
        key.value = .pack(scene.packs[0])
        let run = try scene.run()
        #expect(run.findings.count == 1)
        #expect(run.findings.first?.contains("Input/output error; rewritten from '") == true)
        #expect(run.outcome.isWhole)

        // Once only: it was the disk of the workspace.
        let passing = try Scene([
            FaultRule(.badSector, on: [.get], keys: { $0.path.hasPrefix("packs/") }, limit: 1)
        ])
        #expect(throws: StoreError.self) { try passing.run() }
    }

    @Test func manifestOfADeletedRepositoryIsRepaired() throws {
        let scene = try Scene()
        let tombstone = try Deletion(of: scene.bench.repository).run(in: Manifests(scene.memory))
            .digest
        let original = try scene.damage(.manifest(tombstone), Scene.flipped)
        let backup = scene.scratch.path + "/backup"
        try Files.makeDirectories(backup)
        try Files.write(original, to: backup + "/tombstone")
        #expect(throws: LifecycleError.deleted(scene.bench.repository, last: scene.state.digest)) {
            try scene.run(from: [backup])
        }
        #expect(scene.memory.bytes(at: .manifest(tombstone)) == original)
    }

    @Test func missingRepositoryIsRefused() throws {
        let scene = try Scene()
        let last = try Deletion(of: scene.bench.repository).run(in: Manifests(scene.memory))
            .manifest.parent
        #expect(throws: LifecycleError.deleted(scene.bench.repository, last: last)) {
            try scene.run()
        }
        scene.memory.plant(nil, at: .pointer(of: scene.bench.repository))
        #expect(throws: LifecycleError.self) { try scene.run() }
    }
}
