import ArgumentParser
import Maintenance
import ObjectStore
import Repository

/// `rename OWNER/REPO NEW/NAME`.
struct RenameCommand: StoreCommand {
    static let configuration = CommandConfiguration(
        commandName: "rename",
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

    func run(_ setup: Setup) throws {
        let tools = try setup.tools()
        defer { tools.state.remove() }

        let renaming = Renaming(of: repository, to: newName)
        if resume {
            _ = try renaming.resume(in: tools.hydration, log: tools.log)
        } else {
            _ = try renaming.run(in: tools.hydration, log: tools.log)
        }
        print("Renamed '\(repository)' to '\(newName)'.")
    }
}
