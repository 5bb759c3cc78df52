package import Bytes
import ObjectStore

/// The packs of a repository that are merged into one, so that the remaining packs form a geometric
/// progression: each has at least twice the objects of the next smaller one.
///
/// Such a repository has no more packs than its number of objects has binary digits, and no object
/// is rewritten more often than that. git-repack(1), `--geometric`.
package struct FoldPlan: Equatable, Sendable {
    /// The packs to merge; none, or at least two.
    package let folded: Set<Digest>
    /// The others, largest first.
    package let kept: [Digest]

    /// The packs that may stay.
    package enum Scope: Sendable {
        /// Large packs that are in progression.
        case geometric
        /// None.
        case everything
    }

    /// The smallest ratio of a pack's objects to those of the next smaller one.
    static let factor = 2

    /// The largest number of packs in progression: an index counts objects with 32 bits.
    /// gitformat-pack(5).
    static let longestProgression = 32

    /// - Parameter objects: the number of objects of each pack.
    init(_ objects: [Digest: Int], _ scope: Scope = .geometric) {
        // An empty pack counts as one object; otherwise it would always be in progression.
        let packs = objects.map { (digest: $0.key, weight: max($0.value, 1)) }
            .sorted { ($1.weight, $0.digest.hex) < ($0.weight, $1.digest.hex) }
        var keptCount = scope == .everything ? 0 : Self.progression(packs.map(\.weight))
        // The merged pack may have become too large for the smallest one that stays.
        var total = packs[keptCount...].reduce(0) { $0 + $1.weight }
        while keptCount > 0, packs.count > keptCount,
            packs[keptCount - 1].weight < Self.factor * total
        {
            keptCount -= 1
            total += packs[keptCount].weight
        }
        if packs.count - keptCount < 2 { keptCount = packs.count }
        kept = packs[..<keptCount].map(\.digest)
        folded = Set(packs[keptCount...].map(\.digest))
    }

    /// The number of the largest packs that are in progression.
    ///
    /// - Parameter weights: in descending order.
    private static func progression(_ weights: [Int]) -> Int {
        let broken = weights.indices.dropLast().first { weights[$0] < factor * weights[$0 + 1] }
        // The larger of the first two that are too close is merged as well.
        return broken ?? weights.count
    }
}
