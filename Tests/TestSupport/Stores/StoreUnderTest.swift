import Bytes
import Posix

/// The stores that the same tests run on.
package enum StoreUnderTest: String, CaseIterable, Sendable {
    case file, seaweed

    /// An empty store.
    package func makeBucket() throws -> Bucket {
        switch self {
        case .file: try Bucket(.file(TemporaryDirectory()))
        case .seaweed:
            try Bucket(
                .seaweed(
                    SeaweedFS.shared(), bucket: Self.bucket.get(), prefix: Hex.random(bytes: 8))
            )
        }
    }

    /// Shared by all tests, as each bucket takes up space on the server.
    private static let bucket = Result { try SeaweedFS.shared().makeBucket() }
}
