import Gateway
import Glibc
import Logging
import ObjectStore
import Posix
import Repository

/// What a command needs that runs git: an admitted store, room for workspaces, and git.
struct Workshop {
    let store: any ObjectStore
    let state: StateDirectory
    let git: GitProgram
    let line: ProgressLine

    /// Admits the store; a signal to end removes what the command leaves from now on.
    init(
        store: any ObjectStore, statePath: String, environment: [String: String], isQuiet: Bool
    ) throws {
        FastCGIServer.blockSignals()
        state = try StateDirectory(path: statePath)
        try OneShotCGI.endOnSignal(removing: state)
        self.store = try Admission.admit(store, stateDirectory: statePath).store
        let path = environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
        guard let git = GitProgram(searching: path) else {
            throw Missing(description: "There is no git on the path '\(path)'. Install git.")
        }
        self.git = git
        line = ProgressLine(isQuiet: isQuiet)
    }

    private struct Missing: Error, CustomStringConvertible {
        let description: String
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
