import Bytes
import ObjectStore
import Repository

/// The most recently used parsed manifests, bounded, and the most recently used one that is larger than
/// the bound, since it costs most to parse.
struct ManifestMemory {
    /// The approximate maximum size in bytes.
    private let limit: Int
    private var entries: [Digest: Entry] = [:]
    /// The size of the entries within the bound.
    private var cost = 0
    private var uses = 0

    struct Entry {
        let manifest: Manifest
        var packedRefs: [UInt8]?
        /// The approximate size in bytes of the manifest without its `packed-refs` file.
        let manifestCost: Int
        fileprivate var lastUse: Int

        /// The approximate size in bytes.
        var cost: Int { manifestCost + (packedRefs?.count ?? 0) }
    }

    init(limit: Int) {
        self.limit = limit
    }

    /// Returns an entry and marks it as used now.
    mutating func use(_ digest: Digest) -> Entry? {
        uses += 1
        entries[digest]?.lastUse = uses
        return entries[digest]
    }

    /// Adds a manifest, and drops others if necessary.
    ///
    /// - Returns: the approximate bytes of the dropped manifests.
    mutating func remember(_ manifest: Manifest, cost: Int, as digest: Digest) -> Int {
        guard entries[digest] == nil else { return 0 }
        uses += 1
        let entry = Entry(
            manifest: manifest, packedRefs: nil, manifestCost: cost, lastUse: uses)
        if isOversized(entry) {
            let dropped = entries.filter { isOversized($0.value) }
            for digest in dropped.keys { entries[digest] = nil }
            entries[digest] = entry
            return dropped.values.reduce(0) { $0 + $1.cost }
        }
        entries[digest] = entry
        self.cost += entry.cost
        return shrink()
    }

    /// Adds to the entry of a manifest.
    mutating func add(packedRefs bytes: [UInt8], to digest: Digest) {
        guard let entry = entries[digest], entry.packedRefs == nil else { return }
        entries[digest]?.packedRefs = bytes
        guard !isOversized(entry) else { return }
        cost += bytes.count
        _ = shrink()
    }

    private func isOversized(_ entry: Entry) -> Bool { entry.manifestCost > limit }

    /// Drops the least recently used entries until the rest is within the bound.
    private mutating func shrink() -> Int {
        guard cost > limit else { return 0 }
        let before = cost
        // Drops somewhat more than necessary, so that this does not happen each time, but never the
        // last entry.
        let oldestFirst = entries.filter { !isOversized($0.value) }
            .sorted { $0.value.lastUse < $1.value.lastUse }.dropLast()
        for (digest, entry) in oldestFirst where cost > limit / 8 * 7 {
            entries[digest] = nil
            cost -= entry.cost
        }
        return before - cost
    }
}
