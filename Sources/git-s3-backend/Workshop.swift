import Gateway
import Glibc
import Logging
import ObjectStore
import Posix
import Repository

/// What a command needs that works on repositories without serving them: an admitted store, git, and
/// room for workspaces.
struct Workshop {
    let hydration: Hydration
    let line: ProgressLine
    let log: Logger

    var store: any ObjectStore { hydration.store }
    var state: StateDirectory { hydration.state }
    var git: GitProgram { hydration.git }

    /// Admits the store and finds git. A signal to end takes git and the workspaces along from now
    /// on.
    init(
        store: any ObjectStore, statePath: String, environment: [String: String],
        isQuiet: Bool = true
    ) throws {
        log = try Assembly.makeLog(environment)
        FastCGIServer.blockSignals()
        let state = try StateDirectory(path: statePath)
        try OneShotCGI.endOnSignal(removing: state)
        let admitted = try Admission.admit(store, stateDirectory: statePath).store
        // No push is received here: there is no hook to run. What is read is read once, and must
        // not drive from the cache what is being served.
        hydration = Hydration(
            store: admitted, state: state, git: try Assembly.findGit(environment), hook: "")
        line = ProgressLine(isQuiet: isQuiet)
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

/// Of many repositories, how many came out how.
struct Tally {
    var done = 0
    var unchanged = 0
    var failed = 0

    /// - Parameter verb: what was done.
    func sentence(_ verb: String) -> String {
        "\(done) \(verb), \(unchanged) up to date, \(failed) failed."
    }
}

/// A number of things, `1 ref` or `2 refs`.
func counted(_ number: Int, _ thing: String) -> String {
    "\(number) \(thing)\(number == 1 ? "" : "s")"
}
