import Repository
import Maintenance
import ArgumentParser
import ObjectStore

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

    @Argument(help: "The repository, OWNER/REPO.", transform: RepositoryName.argument)
    var repository: RepositoryName

    @Argument(help: "Its new name, OWNER/REPO.", transform: RepositoryName.argument)
    var newName: RepositoryName

    @Flag(help: "Finish a renaming that was cut off.")
    var resume = false

    @OptionGroup var storeOptions: StoreOptions

    func run() throws {
        let environment = ProcessEnvironment.variables
        let store = try storeOptions.open(environment)
        let statePath = try storeOptions.statePath(environment)
        try Failure.explained {
            let workshop = try Workshop(
                store: store, statePath: statePath, environment: environment)
            defer { workshop.state.remove() }

            let renaming = Renaming(of: repository, to: newName)
            if resume {
                _ = try renaming.resume(in: workshop.hydration, log: workshop.log)
            } else {
                _ = try renaming.run(in: workshop.hydration, log: workshop.log)
            }
            print("Renamed '\(repository)' to '\(newName)'.")
        }
    }
}
