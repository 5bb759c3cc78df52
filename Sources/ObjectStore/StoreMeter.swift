import Synchronization

/// The costs of one request: requests to the store, and hits of the local cache.
///
/// The thread that serves a request has its meter as ``current``, and stores and caches count for
/// the thread that calls them. So a swap that several pushes share counts for the one that performs
/// it.
package final class StoreMeter: Sendable {
    /// The meter of this thread; nil if nothing is counted.
    @TaskLocal package static var current: StoreMeter?

    private let requestCount = Atomic<Int>(0)
    private let hitCount = Atomic<Int>(0)

    package init() {}

    /// The number of requests sent to the store, including repeated ones and parts of large
    /// objects.
    package var requests: Int { requestCount.load(ordering: .relaxed) }

    /// The number of packs and manifests that the local cache had.
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
