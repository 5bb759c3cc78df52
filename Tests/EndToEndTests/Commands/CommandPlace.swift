import TestSupport

/// A file store and a state directory to run commands on.
struct CommandPlace {
    let directory: TemporaryDirectory
    var store: String { "file://\(directory.path)/store" }
    var options: [String] { ["--store", store, "--state-dir", directory.path + "/state"] }

    init() throws { directory = try TemporaryDirectory() }

    /// Runs a command on this store.
    @discardableResult
    func run(
        _ arguments: [String], _ environment: [String: String] = [:]
    ) throws -> CommandResult {
        try Self.run(arguments + options, environment)
    }

    /// Runs a command.
    static func run(
        _ arguments: [String], _ environment: [String: String] = [:]
    ) throws -> CommandResult {
        try Command(
            try Programs.server(), arguments,
            environment: ["PATH": "/usr/bin:/bin", "HOME": "/nonexistent"]
                .merging(environment) { $1 }
        ).run()
    }
}
