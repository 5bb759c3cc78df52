import ArgumentParser
import ObjectStore
import Repository

/// `rename OWNER/REPO NEW/NAME`.
struct Rename: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Give a repository another name.",
        discussion: """
            The old name is not found any more, and is not redirected; a push in flight to it is \
            refused. The new name must be free.

            A renaming that was cut off leaves neither name, and everything kept: --resume \
            finishes it, 'restore' undoes it.
            """)

    @Argument(help: "The repository, OWNER/REPO.")
    var repository: RepositoryName

    @Argument(help: "Its new name, OWNER/REPO.")
    var newName: RepositoryName

    @Flag(help: "Finish a renaming that was cut off.")
    var resume = false

    @OptionGroup var storeOptions: StoreOptions

    func run() throws {
        let environment = ProcessEnvironment.variables
        let store = try storeOptions.open(environment)
        let statePath = try storeOptions.statePath(environment)
        try Failure.explained {
            try Workbench.with(store, statePath: statePath, environment: environment) { bench in
                let renaming = Renaming(of: repository, to: newName)
                if resume {
                    _ = try renaming.resume(in: bench.hydration, log: bench.log)
                } else {
                    _ = try renaming.run(in: bench.hydration, log: bench.log)
                }
                print("Renamed '\(repository)' to '\(newName)'.")
            }
        }
    }
}
