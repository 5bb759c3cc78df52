import ArgumentParser
import Git
import Maintenance
import ObjectStore

/// `rename OWNER/REPO NEW/NAME`.
struct RenameCommand: StoreCommand {
    static let configuration = CommandConfiguration(
        commandName: "rename",
        abstract: "Rename a repository.",
        discussion: """
            Clients can no longer find the old name, which is not redirected, and a push in flight to \
            it is rejected. The new name must not exist.

            After an interrupted rename neither name exists, but nothing is lost: --resume \
            finishes the rename, 'restore' undoes it.
            """)

    @Argument(help: "Name of the repository, OWNER/REPO.", transform: RepositoryName.argument)
    var repository: RepositoryName

    @Argument(help: "New name, OWNER/REPO.", transform: RepositoryName.argument)
    var newName: RepositoryName

    @Flag(help: "Finish an interrupted rename.")
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
