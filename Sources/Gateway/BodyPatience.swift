import Repository

/// How long a client may send nothing while its body is expected. The configurations of the web
/// servers allow the same.
package enum BodyPatience: CaseIterable, Sendable {
    /// Anyone, whose body is complete before the client sends it.
    case request
    /// A push that is permitted: git is silent while it compresses a large object.
    case push

    /// The longest silence. For FastCGI also the time in which each 8 KiB must arrive.
    package var duration: Duration {
        switch self {
        case .request: Self.requestDuration
        case .push: Self.pushDuration
        }
    }

    private static let requestDuration = FaultPoint.patience("request-patience", .seconds(60))
    private static let pushDuration = FaultPoint.patience("push-patience", .seconds(300))
}
