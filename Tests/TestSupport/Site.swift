import Posix
import Synchronization

/// nginx, a responder behind it, and the store behind that.
package final class Site: Sendable {
    package let setup: Responder.Setup
    package let responder: Responder
    package let nginx: Nginx
    private let state: TemporaryDirectory

    package init(_ setup: Responder.Setup) throws {
        var setup = setup
        state = try setup.state ?? TemporaryDirectory()
        setup.state = state
        self.setup = setup
        responder = try Responder(setup)
        nginx = try Nginx(before: responder)
    }

    /// A site of its own on a fresh store.
    package convenience init(
        _ store: StoreUnderTest, options: [String] = [], environment: [String: String] = [:]
    ) throws {
        var setup = Responder.Setup(try store.makeBucket())
        setup.options = options
        setup.environment = environment
        try self.init(setup)
    }

    /// The one site that all tests use that need nothing special.
    package static func shared(_ store: StoreUnderTest) throws -> Site {
        try sharedSites.withLock { sites in
            if let site = sites[store] { return site }
            let site = try Site(store)
            sites[store] = site
            return site
        }
    }

    private static let sharedSites = Mutex<[StoreUnderTest: Site]>([:])

    package var bucket: Bucket { setup.bucket }
    package var http: HTTPClient { nginx.client }

    /// Makes a repository by the program's own command, and names it.
    ///
    /// - Parameter name: nil: one that is new.
    @discardableResult
    package func create(_ name: String? = nil, _ options: String...) throws -> String {
        let repository = name ?? "team/r-\(randomHex(bytes: 6))"
        try command("create", [repository] + options).checked()
        return repository
    }

    /// Runs another of the program's commands on the same store and state directory.
    package func command(_ name: String, _ arguments: [String]) throws -> CommandResult {
        try Command(
            try Programs.responder(),
            [name, "--store", setup.storeURL, "--state-dir", state.path] + arguments,
            environment: Responder.environment(setup).filter { $0.key != "GIT_S3_BACKEND_FAULT" }
        ).run()
    }

    /// A repository's URL, as `alice` who may push.
    package func url(_ repository: String) -> String {
        url(repository, user: "alice", password: Nginx.passwords["alice"] ?? "")
    }

    package func url(_ repository: String, user: String, password: String) -> String {
        "http://\(user):\(password)@127.0.0.1:\(nginx.port)/git/\(repository).git"
    }

    /// The same without a name.
    package func anonymousURL(_ repository: String) -> String {
        "http://127.0.0.1:\(nginx.port)/git/\(repository).git"
    }
}
