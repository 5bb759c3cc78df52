import ArgumentParser
import Gateway
import Git
import Glibc
import Logging
import Posix

/// Answers one request by CGI, configured only by variables. RFC 3875.
enum CGIMode {
    /// Answers the request.
    ///
    /// - Returns: the exit status.
    static func run() -> Int32 {
        Signals.blockEnding()
        let environment = Environment.current
        do {
            let storeOptions = try StoreOptions.parse([])
            let options = try ServeOptions.parse([])
            let log = try Setup.makeLog(environment)
            let serving = try ServingSetup(
                // A warning for each request would fill the web server's log.
                store: try storeOptions.open(environment) { _ in },
                statePath: try storeOptions.statePath(environment),
                limits: try options.limits(environment),
                pushCheck: try options.pushCheck(environment),
                cacheSize: try options.cacheSize(environment), environment: environment, log: log,
                // Standard error is the web server's error log; it has an access log, too.
                served: .debug)
            try serving.state.endProcessOnSignal()
            OneShotCGI.run(serving.responder, environment: environment)
            serving.state.remove()
            return 0
        } catch {
            Failure.say("\(error)")
            let head = "Status: 503 Service Unavailable\r\nRetry-After: 10\r\n"
            let text =
                "Content-Type: text/plain\r\n\r\nThe server is not set up; see its log.\n"
            // The client may have disconnected; the log has the cause.
            try? writeAll(STDOUT_FILENO, Array((head + text).utf8))
            return 1
        }
    }
}
