import ArgumentParser
import GitProtocol
import Maintenance
import ObjectStore
import Repository

extension RepositoryName {
    /// The reason why an argument is not a repository name.
    private struct Invalid: Error, CustomStringConvertible {
        let description = RepositoryName.rule
    }

    /// Parses `OWNER/REPO` from the command line, with an error that contains the rule for names. A
    /// type that is `ExpressibleByArgument` could not give a reason.
    static func argument(_ text: String) throws -> RepositoryName {
        guard let name = RepositoryName(text) else { throw Invalid() }
        return name
    }
}

extension ObjectFormat: ExpressibleByArgument {}

/// `create OWNER/REPO`.
struct CreateCommand: StoreCommand {
    static let configuration = CommandConfiguration(
        commandName: "create",
        abstract: "Create an empty repository.",
        discussion: "If the repository already exists nothing changes; it is an error to request "
            + "another default branch or object format than it has.")

    @Argument(help: "Name of the repository, OWNER/REPO.", transform: RepositoryName.argument)
    var repository: RepositoryName

    @Option(help: "Branch that HEAD points to. (default: main)")
    var defaultBranch: String?

    @Option(help: "Object format: sha1 or sha256. (default: sha1)")
    var objectFormat: ObjectFormat?

    @OptionGroup var storeOptions: StoreOptions

    func run(_ setup: Setup) throws {
        let head = try defaultBranch.map { try Self.branch($0) }
        let creation = Creation(
            repository: repository, defaultBranch: head, objectFormat: objectFormat)
        switch try creation.run(in: Manifests(setup.admittedStore())) {
        case .created: print("Created '\(repository)'.")
        case .existed: print("'\(repository)' already exists.")
        }
    }

    /// The branch that an option specifies.
    static func branch(_ name: String) throws -> RefName {
        guard let branch = RefName("refs/heads/\(name)") else {
            throw ValidationError(
                "Invalid value '\(name)' for --default-branch: expected a branch name such as "
                    + "main.")
        }
        return branch
    }
}
