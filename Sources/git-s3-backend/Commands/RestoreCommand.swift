import Bytes
import ArgumentParser
import Maintenance
import ObjectStore
import Repository

extension Digest: ExpressibleByArgument {
    /// Takes 64 hexadecimal digits. ArgumentParser wants it public.
    public init?(argument: String) {
        self.init(hex: argument)
    }
}

/// `restore OWNER/REPO`.
struct RestoreCommand: StoreCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Bring a deleted repository back.",
        discussion: "Publishes the state that it had when it was deleted, or another that it had "
            + "before. A repository that is there is left alone: delete it first.")

    @Argument(help: "The repository, OWNER/REPO.", transform: RepositoryName.argument)
    var repository: RepositoryName

    @Option(
        help: ArgumentHelp(
            "The state to go back to, by its manifest's digest.",
            discussion: "By default the last one before the deletion."))
    var manifest: Digest?

    @OptionGroup var storeOptions: StoreOptions

    func run(_ setup: Setup) throws {
        let tools = try setup.tools()
        defer { tools.state.remove() }

        let done = try Restoration(of: repository, to: manifest).run(
            in: tools.hydration, log: tools.log)
        print("Restored '\(repository)' with its \(counted(done.manifest.refs.count, "ref")).")
    }
}
