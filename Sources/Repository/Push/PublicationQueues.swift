package import ObjectStore
import Synchronization

/// The publication queues of this process, one for each repository that is being pushed to.
package final class PublicationQueues: Sendable {
    private let manifests: Manifests
    private let entries = Mutex<[RepositoryName: Entry]>([:])

    /// A queue lives as long as a push holds it.
    private struct Entry: Sendable {
        weak var queue: PublicationQueue?
    }

    package init(in manifests: Manifests) {
        self.manifests = manifests
    }

    /// The queue of a repository. A push takes it before it is received, so that what others
    /// publish meanwhile is known to it.
    package func queue(of repository: RepositoryName) -> PublicationQueue {
        entries.withLock { entries in
            if let queue = entries[repository]?.queue { return queue }
            entries = entries.filter { $0.value.queue != nil }
            let queue = PublicationQueue(of: repository, in: manifests)
            entries[repository] = Entry(queue: queue)
            return queue
        }
    }
}
