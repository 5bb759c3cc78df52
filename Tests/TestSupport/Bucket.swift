import ObjectStore
import Posix
import S3Store

/// A store with nothing in it, or with what one test put there.
package final class Bucket: Sendable {
    enum Place: Sendable {
        case file(TemporaryDirectory)
        case seaweed(prefix: String)
    }

    private let place: Place

    init(_ place: Place) throws { self.place = place }

    /// Credentials.
    package var environment: [String: String] { [:] }

    package func url(through proxy: FaultProxy? = nil) -> String {
        switch place {
        case .file(let directory): return "file://\(directory.path)"
        case .seaweed(let prefix): return "s3://e2e/\(prefix)"
        }
    }
}
