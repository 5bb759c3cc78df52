import Posix
import Synchronization

/// nginx, an instance behind it, and the store behind that.
package final class Site: BackendHost {
    package let setup: ServerProcess.Setup
    package let instance: ServerProcess
    package let nginx: Nginx
    private let state: TemporaryDirectory

    package init(_ setup: ServerProcess.Setup) throws {
        var setup = setup
        state = try setup.state ?? TemporaryDirectory()
        setup.state = state
        self.setup = setup
        instance = try ServerProcess(setup)
        nginx = try Nginx(
            before: .fastCGI(socket: instance.socket), added: setup.serverConfiguration)
    }

    /// A site of its own on a fresh store.
    package convenience init(
        _ store: StoreUnderTest, options: [String] = [], environment: [String: String] = [:]
    ) throws {
        var setup = ServerProcess.Setup(try store.makeBucket())
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

    package var port: UInt16 { nginx.port }
    package var log: String { instance.log }

    package func reload() { nginx.reload() }

    package func bytesOnDisk() throws -> Int { try nginx.bytesOnDisk() }
}
