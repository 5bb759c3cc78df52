import Bytes
import ObjectStore
import TestBench
import TestSupport
import Testing

@testable import Maintenance
@testable import Repository

/// Repairing while others write.
@Suite(.tags(.race)) struct RepairRaceTests {
    typealias Scene = RepairScene

    /// Another change of a pack right before it is overwritten.
    private func repairing(
        _ damage: ([UInt8]) -> [UInt8]?, while other: @escaping @Sendable ([UInt8]) -> [UInt8]?
    ) throws -> (Scene, RepairScene.Run) {
        let (original, key) = (Box<[UInt8]>([]), Box<ObjectKey?>(nil))
        let memory = Box<MemoryStore?>(nil)
        let scene = try Scene([
            FaultRule(
                .interleave { _ in
                    guard let key = key.value else { return }
                    memory.value?.plant(other(original.value), at: key)
                }, keys: { $0 == key.value }, limit: 1)
        ])
        memory.value = scene.memory
        key.value = .pack(scene.packs[0])
        original.value = try scene.damage(.pack(scene.packs[0]), damage)
        let run = try scene.run()
        #expect(run.outcome.isWhole)
        #expect(scene.memory.bytes(at: .pack(scene.packs[0])) == original.value)
        return (scene, run)
    }

    @Test func objectRepairedByAnotherIsNotOverwritten() throws {
        for damage in Scene.damages {
            let (_, run) = try repairing(damage) { $0 }
            #expect(run.findings.count == 1)
            #expect(
                run.findings.first?.hasSuffix("; repaired by another process in the meantime.")
                    == true, "\(run.findings)")
        }
    }

    @Test func newDamageIsReadAgainAndOverwritten() throws {
        for damage in Scene.damages {
            let (_, run) = try repairing(damage) { Array($0.dropLast(3)) }
            #expect(run.findings.first?.contains("; rewritten from '") == true, "\(run.findings)")
        }
    }

    @Test func objectThatVanishesIsCreated() throws {
        for damage in Scene.damages {
            let (_, run) = try repairing(damage) { _ in nil }
            #expect(run.findings.first?.contains("; rewritten from '") == true, "\(run.findings)")
        }
    }

    @Test func repairDamagedOnItsWayIsRepeated() throws {
        for damage in Scene.damages {
            let scene = try Scene([FaultRule(.alter, limit: 1)])
            let original = try scene.damage(.pack(scene.packs[0]), damage)
            #expect(try scene.run().outcome.isWhole)
            #expect(scene.memory.bytes(at: .pack(scene.packs[0])) == original)
        }
    }

    /// As a damaged pack of more than 5 GiB.
    @Test func refusedOverwriteIsReportedAndTheOthersAreRepaired() throws {
        let key = Box<ObjectKey?>(nil)
        let scene = try Scene([FaultRule(.rejected, keys: { $0 == key.value })])
        let packs = scene.packs.sorted { $0.hex < $1.hex }
        key.value = .pack(packs[0])
        _ = try scene.damage(.pack(packs[0]), Scene.flipped)
        let other = try scene.damage(.pack(packs[1]), Scene.flipped)
        let run = try scene.run()
        #expect(run.outcome.lost.map(\.key) == [.pack(packs[0])])
        #expect(run.findings.first?.contains("EntityTooLarge") == true, "\(run.findings)")
        #expect(run.findings.first?.hasSuffix("..") == false)
        #expect(run.outcome.incompleteRefs == [], "the copy is good")
        #expect(scene.memory.bytes(at: .pack(packs[1])) == other)
    }

    @Test func lostAnswerIsRepeatedAndReadBack() throws {
        for fault in [Fault.dropReply, .dropRequest, .failAfterApplying, .unavailable] {
            let scene = try Scene([FaultRule(fault, limit: 1)])
            let original = try scene.damage(.pack(scene.packs[0]), Scene.flipped)
            #expect(try scene.run().outcome.isWhole)
            #expect(scene.memory.bytes(at: .pack(scene.packs[0])) == original)
        }
    }

    @Test func pretendedWriteIsNotARepair() throws {
        let scene = try Scene([FaultRule(.pretend)])
        _ = try scene.damage(.pack(scene.packs[0]), Scene.flipped)
        let run = try scene.run()
        #expect(!run.outcome.isWhole)
        #expect(run.findings.first?.contains("still not good") == true)
    }

    @Test func damageWithoutAnETagIsNotOverwritten() throws {
        let scene = try Scene([FaultRule(.dropETag, on: [.get])])
        let key = ObjectKey.pack(scene.packs[0])
        let original = try scene.damage(key, Scene.flipped)
        #expect(throws: StoreError.self, "the pointer has none either") { try scene.run() }
        #expect(scene.memory.bytes(at: key) == Scene.flipped(original))

        let packs = try Scene([
            FaultRule(.dropETag, on: [.get], keys: { $0.path.hasPrefix("packs/") })
        ])
        _ = try packs.damage(.pack(packs.packs[0]), Scene.flipped)
        let run = try packs.run()
        #expect(run.findings.first?.contains("no ETag") == true)
        #expect(packs.memory.counts.puts == 0)
    }

    @Test func pushInBetweenIsNotHarmed() throws {
        let bench = Box<Bench?>(nil)
        let pushed = Box(false)
        let scene = try Scene([
            FaultRule(
                .interleave { _ in
                    guard let bench = bench.value, !pushed.value else { return }
                    pushed.value = true
                    do {
                        try bench.push(bench.onePush(to: "refs/heads/new"), to: bench.memory)
                    } catch {
                        Issue.record(error)
                    }
                }, on: [.get], keys: { $0.path.hasPrefix("manifests/") }, limit: 1)
        ])
        bench.value = scene.bench
        _ = try scene.damage(.pack(scene.packs[1])) { _ in nil }
        // Its hydration needs the pack that is lost, which the cache has.
        #expect(try scene.run().outcome.isWhole)
        #expect(pushed.value)
        _ = try scene.bench.check()
        #expect(try scene.bench.published().manifest.packs.count == 3)
    }
}
