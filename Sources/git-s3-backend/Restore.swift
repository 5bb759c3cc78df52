import Repository
import Maintenance
import ArgumentParser
import ObjectStore

extension Digest: ExpressibleByArgument {
    /// Takes 64 hexadecimal digits. ArgumentParser wants it public.
    public init?(argument: String) {
        self.init(hex: argument)
    }
}

/// `restore OWNER/REPO`.
struct Restore: ParsableCommand {
    static let configuration = CommandConfiguration(
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

    func run() throws {
        let environment = ProcessEnvironment.variables
        let store = try storeOptions.open(environment)
        let statePath = try storeOptions.statePath(environment)
        try Failure.explained {
            let workshop = try Workshop(
                store: store, statePath: statePath, environment: environment)
            defer { workshop.state.remove() }

            let done = try Restoration(of: repository, to: manifest).run(
                in: workshop.hydration, log: workshop.log)
            print("Restored '\(repository)' with its \(counted(done.manifest.refs.count, "ref")).")
        }
    }
}
