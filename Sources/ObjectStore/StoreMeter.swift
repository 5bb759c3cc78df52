import Synchronization

/// Counts what one request costs: requests to the store, and what the local cache had.
///
/// The thread that serves a request has its meter as ``current``, and the stores and caches count
/// for the thread that they work for. So a swap that several pushes share counts for the one that
/// carries it out.
package final class StoreMeter: Sendable {
    /// The meter of this thread; nil: nothing is counted.
    @TaskLocal package static var current: StoreMeter?

    private let requestCount = Atomic<Int>(0)
    private let hitCount = Atomic<Int>(0)

    package init() {}

    /// Requests that were sent to the store, repeated ones and the parts of large objects included.
    package var requests: Int { requestCount.load(ordering: .relaxed) }

    /// Packs and manifests that were found in the local cache.
    package var cacheHits: Int { hitCount.load(ordering: .relaxed) }

    /// Counts a request to the store.
    package static func countRequest() {
        current?.requestCount.add(1, ordering: .relaxed)
    }

    /// Counts a pack or manifest that the local cache had.
    package static func countCacheHit() {
        current?.hitCount.add(1, ordering: .relaxed)
    }
}
