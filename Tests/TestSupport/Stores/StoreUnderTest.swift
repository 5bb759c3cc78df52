import Bytes
import Posix

/// The stores that the same tests run on.
package enum StoreUnderTest: String, CaseIterable, Sendable {
    case file, seaweed

    /// A store with nothing in it.
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

    /// One for all: each takes the server's room.
    private static let bucket = Result { try SeaweedFS.shared().makeBucket() }
}
