import Posix

/// The stores that the same tests run on.
package enum StoreUnderTest: String, CaseIterable, Sendable {
    case file, seaweed

    /// A store with nothing in it.
    package func makeBucket() throws -> Bucket {
        switch self {
        case .file: try Bucket(.file(TemporaryDirectory()))
        case .seaweed: try Bucket(.seaweed(prefix: randomHex(bytes: 8)))
        }
    }
}
