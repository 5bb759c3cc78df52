package import ObjectStore
import Synchronization

/// A store that notes what it is asked, batch by batch.
package final class BatchLog: ObjectStore {
    private let inner: any ObjectStore
    private let noted = Mutex<[[String]]>([])

    package init(_ inner: any ObjectStore) { self.inner = inner }

    package var location: String { inner.location }
    package var retryPolicy: RetryPolicy { inner.retryPolicy }
    package var checksBodies: Bool { inner.checksBodies }
    package var batches: [[String]] { noted.withLock { $0 } }

    package func perform(_ requests: [StoreRequest]) -> [Result<StoreAnswer, StoreError>] {
        noted.withLock { $0.append(requests.map { "\(StoreError.Attempt($0))" }) }
        return inner.perform(requests)
    }

    package func list(
        prefix: String, startingAfter: String?
    ) throws(StoreError) -> [ListedObject] {
        noted.withLock { $0.append(["list"]) }
        return try inner.list(prefix: prefix, startingAfter: startingAfter)
    }
}
