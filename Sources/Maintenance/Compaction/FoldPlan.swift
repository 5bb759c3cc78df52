package import Bytes
import ObjectStore

/// Which packs of a repository are folded into one, so that the rest, by their numbers of objects,
/// is a geometric progression: each pack has at least twice the objects of the next smaller one.
///
/// Such a repository has no more packs than its number of objects has binary digits, and an object
/// is written again no more often than that. git-repack(1), `--geometric`.
package struct FoldPlan: Equatable, Sendable {
    /// The packs to be folded; none, or at least two.
    package let folded: Set<Digest>
    /// The others, largest first.
    package let kept: [Digest]

    /// Which packs may stay.
    package enum Scope: Sendable {
        /// Large ones that are in progression.
        case geometric
        /// None.
        case everything
    }

    /// A pack has at least so many times the objects of the next smaller one.
    static let factor = 2

    /// Packs in progression at most: an index counts objects with 32 bits. gitformat-pack(5).
    static let longestProgression = 32

    /// - Parameter objects: the number of objects of each pack.
    init(_ objects: [Digest: Int], _ scope: Scope = .geometric) {
        // An empty pack counts as one object: it would be in progression for ever otherwise.
        let packs = objects.map { (digest: $0.key, weight: max($0.value, 1)) }
            .sorted { ($1.weight, $0.digest.hex) < ($0.weight, $1.digest.hex) }
        var keptCount = scope == .everything ? 0 : Self.progression(packs.map(\.weight))
        // What is folded may have become too large for the smallest that stays.
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

    /// How many of the largest packs are in progression.
    ///
    /// - Parameter weights: in descending order.
    private static func progression(_ weights: [Int]) -> Int {
        let broken = weights.indices.dropLast().first { weights[$0] < factor * weights[$0 + 1] }
        // The larger of the first two that are too close goes, too.
        return broken ?? weights.count
    }
}
