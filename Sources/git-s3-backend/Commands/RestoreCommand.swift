import ArgumentParser
import Bytes
import Git
import Maintenance
import ObjectStore
import Repository

extension Digest: ExpressibleByArgument {
    /// Parses 64 hexadecimal digits. ArgumentParser requires it to be public.
    public init?(argument: String) {
        self.init(hex: argument)
    }
}

/// `restore OWNER/REPO`.
struct RestoreCommand: StoreCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Restore a deleted repository.",
        discussion: "Publishes the last state before the deletion, or an earlier one. An existing "
            + "repository is not changed: delete it first.")

    @Argument(help: "Name of the repository, OWNER/REPO.", transform: RepositoryName.argument)
    var repository: RepositoryName

    @Option(
        help: ArgumentHelp(
            "State to restore, as the digest of its manifest.",
            discussion: "By default the last state before the deletion."))
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
