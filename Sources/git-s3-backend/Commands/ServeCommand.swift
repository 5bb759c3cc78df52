import ArgumentParser
import Gateway
import Git
import Logging
import ObjectStore
import Posix

/// `serve`: serves FastCGI until a signal arrives.
struct ServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Answer FastCGI requests on a socket.")

    @OptionGroup var storeOptions: StoreOptions
    @OptionGroup var options: ServeOptions

    func run() throws {
        let environment = Environment.current
        let limits = try options.limits(environment)
        let pushCheck = try options.pushCheck(environment)
        let compactAt = try options.compactionThreshold(environment)
        let verification = try options.verification(environment)
        let cacheSize = try options.cacheSize(environment)
        let workers = try options.workerCount(environment)
        let address = try options.address(environment)
        var exposed: String?
        let store = try storeOptions.open(environment) { exposed = $0 }
        let statePath = try storeOptions.statePath(environment)
        let log = try Setup.makeLog(environment)
        if let exposed {
            log.warning(
                "store connection is not encrypted", metadata: ["store.location": "\(exposed)"])
        }

        Signals.blockEnding()
        try Failure.explained {
            let serving = try ServingSetup(
                store: store, statePath: statePath, limits: limits, pushCheck: pushCheck,
                cacheSize: cacheSize, compactAt: compactAt, verification: verification,
                environment: environment, log: log)
            let listener = try Listener.open(address)
            try FastCGIServer(
                listener: listener, responder: serving.responder, workers: workers, log: log
            ).run()
            // A compaction that is waiting for a transfer may still be using it.
            if !serving.state.remove() { serving.state.endProcess(status: 0) }
        }
    }
}
