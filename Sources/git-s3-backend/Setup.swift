import ArgumentParser
import Gateway
import Git
import Glibc
import Hydration
import Logging
import ObjectStore
import Posix

/// A store and a state directory, as the options and the environment specify them.
struct Setup {
    /// The store as it was opened: nothing was sent, and it is not admitted.
    let store: any ObjectStore
    let environment: [String: String]
    private let options: StoreOptions

    /// Opens the store.
    init(_ options: StoreOptions, _ environment: [String: String]) throws {
        store = try options.open(environment)
        self.environment = environment
        self.options = options
    }

    /// Creates the state directory and checks its permissions.
    func statePath() throws -> String { try options.statePath(environment) }

    /// The store, after it passed the conformance probe or an earlier process recorded that it did.
    func admittedStore() throws -> any ObjectStore {
        try Admission.admit(store, stateDirectory: try statePath()).store
    }

    /// Admits the store and finds git. From now on a signal that ends this process also ends git and
    /// removes the workspaces.
    func tools(isQuiet: Bool = true) throws -> Tools {
        let statePath = try statePath()
        let log = try Self.makeLog(environment)
        Signals.blockEnding()
        let state = try StateDirectory(path: statePath)
        try state.endProcessOnSignal()
        let admitted = try Admission.admit(store, stateDirectory: statePath).store
        // Commands receive no push, so there is no hook to run. They read each pack once, and do not
        // cache it, so that they do not evict packs that are being served.
        let hydration = Hydration(
            store: admitted, state: state, git: try Self.findGit(environment), hook: "")
        return Tools(hydration: hydration, line: ProgressLine(isQuiet: isQuiet), log: log)
    }
}

/// The tools of a command that works on packs: an admitted store, git, and a directory for
/// workspaces.
struct Tools {
    let hydration: Hydration
    let line: ProgressLine
    let log: Logger

    var store: any ObjectStore { hydration.store }
    var state: StateDirectory { hydration.state }
    var git: GitProgram { hydration.git }
}

/// A command that works on a store.
protocol StoreCommand: ParsableCommand {
    var storeOptions: StoreOptions { get }

    /// Performs the command. An error that it throws is the command's failure.
    func run(_ setup: Setup) throws
}

extension StoreCommand {
    func run() throws {
        let setup = try Setup(storeOptions, Environment.current)
        try Failure.explained { try run(setup) }
    }
}

/// A program that is not installed.
struct MissingProgram: Error, CustomStringConvertible {
    let description: String
}

extension Setup {
    /// The installed git.
    static func findGit(_ environment: [String: String]) throws -> GitProgram {
        let path = environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
        guard let git = GitProgram(searching: path) else {
            throw MissingProgram(
                description: "git not found in PATH '\(path)'. Install git.")
        }
        return git
    }

    /// Creates the log, which goes to standard error: the journal's, or the web server's error log.
    static func makeLog(_ environment: [String: String]) throws -> Logger {
        LoggingSystem.bootstrap { LineLogHandler(label: $0) }
        var log = Logger(label: "git-s3-backend")
        if let setting = Setting(option: nil, "log-level", in: environment) {
            guard let level = Logger.Level(rawValue: setting.text.lowercased()) else {
                throw ValidationError(
                    "Invalid value '\(setting.text)' for \(setting.source): expected debug, "
                        + "info, notice, warning or error.")
            }
            log.logLevel = level
        }
        return log
    }

    /// A path as seen from this process's directory, without a slash at its end.
    static func absolute(_ path: String) throws -> String {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        if path.hasPrefix("/") { return path }
        guard let current = getcwd(nil, 0) else { throw SystemError("getcwd") }
        defer { free(current) }

        return path == "." ? String(cString: current) : String(cString: current) + "/" + path
    }
}
