package import GitProtocol
package import ObjectStore

/// The purpose of a request. gitprotocol-http(5); the dumb protocol is refused.
package enum Route: Equatable, Sendable {
    /// `GET /OWNER/REPO/info/refs?service=git-…`.
    case advertise(GitService, RepositoryName)
    /// `POST /OWNER/REPO/git-upload-pack`.
    case fetch(RepositoryName)
    /// `POST /OWNER/REPO/git-receive-pack`.
    case push(RepositoryName)

    /// The suffix of a repository's URL.
    package enum Suffix: String, CaseIterable, Sendable {
        /// `OWNER/REPO.git`.
        case git
        /// `OWNER/REPO`.
        case none
        /// Either.
        case both
    }

    /// Finds the route of a request.
    ///
    /// - Parameter suffix: the accepted suffix of a repository's URL.
    package init(_ request: Request, suffix: Suffix = .both) throws(RequestError) {
        guard let (name, tail) = Self.split(request.path, suffix) else { throw .notFound }
        switch tail {
        case "info/refs":
            try Self.require(request, ["GET", "HEAD"])
            self = .advertise(try Self.service(request.query), name)
        case "git-upload-pack":
            try Self.require(request, ["POST"])
            try Self.requireType(request, "application/x-git-upload-pack-request")
            self = .fetch(name)
        case "git-receive-pack":
            try Self.require(request, ["POST"])
            try Self.requireType(request, "application/x-git-receive-pack-request")
            self = .push(name)
        case "HEAD":
            throw .dumbProtocol
        case _ where tail.hasPrefix("objects/"):
            throw .dumbProtocol
        default:
            throw .notFound
        }
    }

    /// `/OWNER/REPO[.git]/TAIL`.
    private static func split(
        _ path: String, _ suffix: Suffix
    ) -> (RepositoryName, tail: String)? {
        let parts = path.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0].isEmpty else { return nil }
        let hasSuffix = parts[2].hasSuffix(".git")
        guard suffix == .both || (suffix == .git) == hasSuffix else { return nil }
        let repository = hasSuffix ? parts[2].dropLast(4) : parts[2]
        guard let name = RepositoryName("\(parts[1])/\(repository)") else { return nil }
        return (name, String(parts[3]))
    }

    private static func require(
        _ request: Request, _ methods: [String]
    ) throws(RequestError) {
        if !methods.contains(request.method) { throw .wrongMethod(allowed: methods) }
    }

    private static func requireType(
        _ request: Request, _ type: String
    ) throws(RequestError) {
        if request.contentType != type { throw .wrongContentType(expected: type) }
    }

    /// The only `service` of a query. If there were two, the web server, which decides whether a
    /// password is needed, could use another one than this program.
    private static func service(_ query: String) throws(RequestError) -> GitService {
        let values = query.split(separator: "&").filter { $0.hasPrefix("service=") }
            .map { $0.dropFirst("service=".count) }
        guard let value = values.first else { throw .dumbProtocol }
        guard values.count == 1 else { throw .unknownService }
        switch value {
        case "git-upload-pack": return .uploadPack
        case "git-receive-pack": return .receivePack
        default: throw .unknownService
        }
    }
}
