import ArgumentParser
import Git
import Logging
import Migration
import ObjectStore
import Posix
import Repository

/// `export OWNER/REPO DIR`, `export --all DIR`.
struct ExportCommand: StoreCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Export repositories to local directories.",
        usage: """
            git-s3-backend export [<options>] <repository> <directory>
            git-s3-backend export [<options>] --all <directory>
            """,
        discussion:
            "Creates a bare repository that git can serve, or updates an existing one to the "
            + "published state: refs that are not published are removed from it. With --all, each "
            + "repository is exported to DIRECTORY/OWNER/REPO.git.")

    @Argument(
        help: ArgumentHelp(
            "Name of the repository, OWNER/REPO, and its directory; with --all only a directory.",
            valueName: "repository-and-directory"))
    var places: [String]

    @Flag(help: "Export every repository.")
    var all = false

    @Flag(help: "Show no progress.")
    var quiet = false

    @OptionGroup var storeOptions: StoreOptions

    /// The repositories to export, and their directories.
    private enum Order {
        case one(RepositoryName, String)
        case all(String)
    }

    func validate() throws {
        _ = try order()
    }

    private func order() throws -> Order {
        if all {
            guard places.count == 1 else {
                throw ValidationError("With --all, specify only the directory.")
            }
            return .all(places[0])
        }
        guard places.count == 2 else {
            throw ValidationError(
                "Specify the repository, OWNER/REPO, and the directory; or "
                    + "--all.")
        }
        guard let name = RepositoryName(places[0]) else {
            throw ValidationError(
                "The value '\(places[0])' is invalid for '<repository>': \(RepositoryName.rule)")
        }
        return .one(name, places[1])
    }

    func run(_ setup: Setup) throws {
        let order = try order()
        let tools = try setup.tools(isQuiet: quiet)
        defer { tools.state.remove() }

        switch order {
        case .one(let repository, let directory):
            _ = try copy(repository, to: try Setup.absolute(directory), tools)
        case .all(let directory):
            try copyAll(to: try Setup.absolute(directory), tools)
        }
    }

    /// - Returns: whether there was anything to do.
    private func copy(
        _ repository: RepositoryName, to directory: String, _ tools: Tools
    ) throws -> Bool {
        defer { tools.line.clear() }

        let outcome = try Export(of: repository, by: tools.hydration, log: tools.log)
            .run(into: directory, progress: tools.line.progress)
        tools.line.clear()
        switch outcome {
        case .upToDate:
            print("'\(directory)' is up to date.")
            return false
        case .created(let refs, let packs):
            let content = "\(counted(refs, "ref")), \(counted(packs, "pack"))"
            print("Exported '\(repository)' to '\(directory)': \(content).")
        case .updated(let refs, let packs):
            let content = "\(counted(refs, "ref")), \(counted(packs, "pack"))"
            print("Updated '\(directory)': \(content) fetched.")
        }
        return true
    }

    private func copyAll(to directory: String, _ tools: Tools) throws {
        var tally = Tally()
        try RepositoryListing.forEach(in: tools.store) { repository in
            do {
                if try copy(repository, to: "\(directory)/\(repository).git", tools) {
                    tally.done += 1
                } else {
                    tally.unchanged += 1
                }
            } catch ExportError.noSuchRepository {
                // A deleted repository's pointer remains.
            } catch {
                Failure.say("\(repository): \(error)")
                tally.failed += 1
            }
        }
        print(tally.sentence("exported"))
        if tally.failed > 0 { throw ExitCode.failure }
    }
}
