import Bytes
import ObjectStore
import TestSupport
import Testing

@testable import Maintenance

/// Choosing the packs to fold.
@Suite struct FoldPlanTests {
    private func pack(_ number: Int) -> Digest { Digest(of: Array("\(number)".utf8)) }

    private func plan(_ counts: [Int], _ scope: FoldPlan.Scope = .geometric) -> (
        plan: FoldPlan, counts: [Digest: Int]
    ) {
        let named = counts.enumerated().map { (pack($0.offset), $0.element) }
        let counts = Dictionary(uniqueKeysWithValues: named)
        return (FoldPlan(counts, scope), counts)
    }

    @Test(
        arguments: [
            ([], 0), ([7], 0), ([100, 50], 0), ([100, 51], 2), ([3, 3, 3], 3), ([8, 4, 2, 1], 0),
            ([1000, 3, 3, 3], 3), ([1000, 400, 100, 60, 2, 1], 4), ([10_000, 3, 3, 3, 4990], 3),
            // The sum of the small ones is too close to the next, and to the one after it.
            ([1000, 400, 100, 99, 2], 5), ([1000, 10, 9, 8], 3), ([0], 0), ([0, 1], 2),
            ([0, 2], 0),
        ] as [([Int], Int)])
    func largePacksInProgressionStay(counts: [Int], folded: Int) {
        #expect(plan(counts).plan.folded.count == folded)
    }

    @Test func fullPlanMergesEverything() {
        #expect(plan([], .everything).plan.folded.isEmpty)
        #expect(plan([5], .everything).plan.folded.isEmpty)
        #expect(plan([8, 4, 2, 1], .everything).plan.folded.count == 4)
    }

    @Test(arguments: 1...200 as ClosedRange<UInt64>)
    func planIsStableAndForgetsNothing(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let size = Int.random(in: 0...60, using: &random)
        let counts = (0..<size).map { _ in
            Int.random(in: 0...(1 << Int.random(in: 0...24, using: &random)), using: &random)
        }
        let (plan, named) = plan(counts)
        #expect(plan.folded.count != 1)
        #expect(plan.folded.isDisjoint(with: plan.kept))
        #expect(plan.folded.union(plan.kept) == Set(named.keys))

        var after = named.filter { plan.kept.contains($0.key) }
        if !plan.folded.isEmpty {
            let sum = plan.folded.compactMap { named[$0] }.reduce(0, +)
            // Packs have objects in common: the new one may have fewer.
            after[pack(-1)] = Int.random(in: 0...sum, using: &random)
        }
        let weights = after.values.map { max($0, 1) }.sorted(by: >)
        for (larger, smaller) in zip(weights, weights.dropFirst()) {
            #expect(larger >= 2 * smaller, "\(counts) leaves \(weights)")
        }
        #expect(FoldPlan(after).folded.isEmpty, "\(counts) leaves \(weights)")
        #expect(after.count <= FoldPlan.longestProgression)
    }

    @Test func rewritesOfAnObjectAreLogarithmic() {
        var packs: [Digest: Int] = [:]
        var written = 0
        let pushes = 4000
        for number in 0..<pushes {
            packs[pack(number)] = 3
            guard packs.count > 50 else { continue }
            let plan = FoldPlan(packs)
            let sum = plan.folded.compactMap { packs[$0] }.reduce(0, +)
            for folded in plan.folded { packs[folded] = nil }
            packs[pack(-number)] = sum
            written += sum
        }
        #expect(packs.count <= 50)
        #expect(packs.values.reduce(0, +) == 3 * pushes)
        #expect(written < 14 * 3 * pushes)
    }
}
