import Glibc
import Logging
import ObjectStore
import Posix
import Repository

/// What a command needs that works on repositories without serving them: an admitted store, and
/// git with room for workspaces.
struct Workbench {
    let hydration: Hydration
    let log: Logger
    var store: any ObjectStore { hydration.store }

    /// Opens the state directory, admits the store and finds git; removes the place that it took
    /// when the work is over.
    static func with<Value>(
        _ store: any ObjectStore, statePath: String, environment: [String: String],
        _ body: (Workbench) throws -> Value
    ) throws -> Value {
        let state = try StateDirectory(path: statePath)
        defer { state.remove() }

        let admission = try Admission.admit(store, stateDirectory: statePath)
        let git = try Assembly.findGit(environment)
        // No push is received here: there is no hook to run.
        let hydration = Hydration(store: admission.store, state: state, git: git, hook: "")
        return try body(Workbench(hydration: hydration, log: try Assembly.makeLog(environment)))
    }
}
