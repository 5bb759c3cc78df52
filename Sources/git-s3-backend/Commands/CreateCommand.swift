import ArgumentParser
import GitProtocol
import Maintenance
import ObjectStore
import Repository

extension RepositoryName {
    /// Why an argument is no name.
    private struct Invalid: Error, CustomStringConvertible {
        let description = RepositoryName.rule
    }

    /// Takes `OWNER/REPO` from a command line, with an error that says what a name is. A type that is
    /// `ExpressibleByArgument` could only say no.
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
        discussion: "Repeating it is harmless; asking for another default branch or object "
            + "format than the repository has is an error.")

    @Argument(help: "The repository, OWNER/REPO.", transform: RepositoryName.argument)
    var repository: RepositoryName

    @Option(help: "The branch that HEAD names. (default: main)")
    var defaultBranch: String?

    @Option(help: "sha1 or sha256. (default: sha1)")
    var objectFormat: ObjectFormat?

    @OptionGroup var storeOptions: StoreOptions

    func run(_ setup: Setup) throws {
        let head = try defaultBranch.map { try Self.branch($0) }
        let creation = Creation(
            repository: repository, defaultBranch: head, objectFormat: objectFormat)
        switch try creation.run(in: Manifests(setup.admittedStore())) {
        case .created: print("Created '\(repository)'.")
        case .existed: print("'\(repository)' is there already.")
        }
    }

    /// The branch that an option names.
    static func branch(_ name: String) throws -> RefName {
        guard let branch = RefName("refs/heads/\(name)") else {
            throw ValidationError(
                "--default-branch is '\(name)', which is no branch name; give one like main.")
        }
        return branch
    }
}
