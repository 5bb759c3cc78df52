import Posix
import Synchronization

/// The ways in which a web server runs the program. What holds for git behind one of them holds
/// behind each.
package enum Front: String, CaseIterable, Sendable {
    /// nginx, and the program as a FastCGI server, by the configuration that is shipped.
    case nginx
    /// nginx and fcgiwrap, which starts the program for each request.
    case cgi
    /// Apache and mod_proxy_fcgi, to an instance's socket.
    case apacheProxy
    /// Apache and mod_fcgid, which starts responders of one request at a time.
    case apacheFCGID
    /// Apache's threads and plain CGI.
    case apacheCGID
    /// Apache's processes and plain CGI.
    case apacheCGI
    /// lighttpd, to an instance's socket.
    case lighttpd
    /// nginx, and an instance that spawn-fcgi has given its socket.
    case spawnFCGI
    /// nginx, and an instance that systemd has given its socket.
    case systemd

    /// The two that differ most: for tests of what git sees, which no web server touches.
    package static let distinct = [Front.nginx, .cgi]

    /// Whether a body is passed on while it comes.
    package var streamsBodies: Bool { self != .apacheFCGID && self != .lighttpd }

    /// Whether one process answers all requests.
    package var hasResponder: Bool {
        switch self {
        case .nginx, .apacheProxy, .lighttpd, .spawnFCGI, .systemd: true
        case .cgi, .apacheFCGID, .apacheCGID, .apacheCGI: false
        }
    }

    /// A site of its own.
    package func makeSite(_ setup: ServerProcess.Setup) throws -> any BackendHost {
        switch self {
        case .nginx: try Site(setup)
        case .cgi: try CGISite(setup)
        case .apacheProxy: try ApacheSite(.proxy, setup)
        case .apacheFCGID: try ApacheSite(.fcgid, setup)
        case .apacheCGID: try ApacheSite(.cgid, setup)
        case .apacheCGI: try ApacheSite(.cgi, setup)
        case .lighttpd: try LighttpdSite(setup)
        case .spawnFCGI: try Site(setup.launched(by: .spawnFCGI))
        case .systemd: try Site(setup.launched(by: .systemd))
        }
    }

    /// The one site of this kind that all tests use that need nothing special.
    package func shared(_ store: StoreUnderTest = .file) throws -> any BackendHost {
        if self == .nginx { return try Site.shared(store) }
        return try Self.sharedSites.withLock { sites in
            let key = "\(self) \(store)"
            if let site = sites[key] { return site }
            let site = try makeSite(ServerProcess.Setup(try store.makeBucket()))
            sites[key] = site
            return site
        }
    }

    private static let sharedSites = Mutex<[String: any BackendHost]>([:])
}

/// nginx, and the program as a plain CGI behind it, configured by variables alone.
package final class CGISite: BackendHost {
    package let setup: ServerProcess.Setup
    private let nginx: Nginx
    private let wrapper: FCGIWrap
    private let state: TemporaryDirectory

    /// - Parameter setup: its options are no CGI's and must be empty.
    package init(_ setup: ServerProcess.Setup) throws {
        guard setup.options.isEmpty else { throw TestFailure("A CGI takes no options.") }
        var setup = setup
        state = try setup.state ?? TemporaryDirectory()
        setup.state = state
        self.setup = setup
        if setup.admission == .given {
            try setup.bucket.admit(in: state.path, through: setup.proxy)
        }
        wrapper = try FCGIWrap(
            environment: ServerProcess.environment(setup).merging([
                "GIT_S3_BACKEND_STORE": setup.storeURL, "GIT_S3_BACKEND_STATE_DIR": state.path,
            ]) { $1 })
        nginx = try Nginx(
            before: .cgi(wrapper, program: try setup.program ?? Programs.server()),
            added: setup.serverConfiguration)
    }

    package var port: UInt16 { nginx.port }

    /// The program's log so far.
    package var log: String { wrapper.log }

    package func reload() { nginx.reload() }

    package func bytesOnDisk() throws -> Int { try nginx.bytesOnDisk() }
}
