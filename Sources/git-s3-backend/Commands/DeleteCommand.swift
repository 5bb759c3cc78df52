import ArgumentParser
import Maintenance
import ObjectStore
import Repository

/// `delete OWNER/REPO`.
struct DeleteCommand: StoreCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Delete a repository.",
        discussion: """
            Clients can no longer find the repository, and a push in flight is rejected. Its objects \
            stay in the store: 'restore' brings it back.

            On a terminal it asks for the name again; without a terminal it requires --yes.
            """)

    @Argument(help: "Name of the repository, OWNER/REPO.", transform: RepositoryName.argument)
    var repository: RepositoryName

    @Flag(help: "Do not ask for confirmation.")
    var yes = false

    @OptionGroup var storeOptions: StoreOptions

    func validate() throws {
        if !yes { try Confirmation.requireTerminal() }
    }

    func run(_ setup: Setup) throws {
        // A state directory that cannot be used is reported before the question.
        _ = try setup.statePath()
        if !yes { try confirm(in: Manifests(setup.store)) }
        let tombstone = try Deletion(of: repository).run(in: Manifests(setup.admittedStore()))
            .manifest
        let last = tombstone.parent.map { "Its last state was \($0); " } ?? ""
        print(
            "Deleted '\(repository)'. \(last)'git-s3-backend restore \(repository)' brings it back."
        )
    }

    /// Shows the repository, and asks for confirmation.
    private func confirm(in manifests: Manifests) throws {
        switch try manifests.resolve(repository) {
        case .absent: throw LifecycleError.absent(repository, location: manifests.store.location)
        case .deleted(let tombstone):
            throw LifecycleError.deleted(
                repository, last: try manifests.lastLive(before: tombstone))
        case .live(let snapshot):
            let count = snapshot.manifest.refs.count
            try Confirmation.ask(
                "Delete '\(repository)' with its \(count) \(count == 1 ? "ref" : "refs") from "
                    + "'\(manifests.store.location)'?", expecting: "\(repository)")
        }
    }
}
