import ArgumentParser
import Gateway
import ObjectStore
import Repository

/// `serve`: FastCGI until told to stop.
struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve FastCGI on a socket.")

    @OptionGroup var storeOptions: StoreOptions
    @OptionGroup var options: ServeOptions

    func run() throws {
        let environment = ProcessEnvironment.variables
        let limits = try options.limits(environment)
        let pushCheck = try options.pushCheck(environment)
        let compactAt = try options.compactionThreshold(environment)
        let cacheSize = try options.cacheSize(environment)
        let workers = try options.workerCount(environment)
        let address = try options.address(environment)
        let store = try storeOptions.open(environment)
        let statePath = try storeOptions.statePath(environment)
        let log = try Assembly.makeLog(environment)

        FastCGIServer.blockSignals()
        try Failure.explained {
            let assembly = try Assembly(
                store: store, statePath: statePath, limits: limits, pushCheck: pushCheck,
                cacheSize: cacheSize, compactAt: compactAt, environment: environment, log: log)
            let listener = try Listener.open(address)
            try FastCGIServer(
                listener: listener, responder: assembly.responder, workers: workers, log: log
            ).run()
            assembly.state.remove()
        }
    }
}
