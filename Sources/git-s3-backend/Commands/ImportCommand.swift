import ArgumentParser
import Git
import GitProtocol
import Glibc
import Hydration
import Migration
import ObjectStore
import Posix
import Repository

/// `import DIR OWNER/REPO`, `import --all DIR`.
struct ImportCommand: StoreCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Import local repositories.",
        usage: """
            git-s3-backend import [<options>] <directory> <repository>
            git-s3-backend import [<options>] --all <directory>
            """,
        discussion: "Replaces the published refs and HEAD with those of the local repository, as "
            + "'git clone --mirror' would copy them, in one step. Only new objects are stored. "
            + "With --all, each repository DIRECTORY/OWNER/REPO or DIRECTORY/OWNER/REPO.git is "
            + "imported under its own name.")

    @Argument(help: "Directory of the repository, bare or not; with --all of all repositories.")
    var directory: String

    @Argument(help: "Name to publish it as, OWNER/REPO.", transform: RepositoryName.argument)
    var repository: RepositoryName?

    @Flag(help: "Import every repository in the directory.")
    var all = false

    @Option(help: "Branch that HEAD will point to. (default: as in the local repository)")
    var defaultBranch: String?

    @Option(
        help: ArgumentHelp(
            "Accept objects that git's checks refuse with this message; can be repeated.",
            discussion: "A message ID of git-fsck(1), such as zeroPaddedFilemode.",
            valueName: "message"))
    var accept: [String] = []

    @Flag(help: "Show no progress.")
    var quiet = false

    @OptionGroup var storeOptions: StoreOptions

    func validate() throws {
        if all, repository != nil {
            throw ValidationError(
                "With --all, specify only the directory: its subdirectories "
                    + "determine the names.")
        }
        if !all, repository == nil {
            throw ValidationError("Specify the name to publish it as, OWNER/REPO; or --all.")
        }
        if all, defaultBranch != nil {
            throw ValidationError("--default-branch cannot be combined with --all.")
        }
        for message in accept {
            let isWord = message.utf8.allSatisfy {
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0 | 0x20)
            }
            guard isWord, !message.isEmpty else {
                throw ValidationError(
                    "Invalid value '\(message)' for --accept: expected a message ID of "
                        + "git-fsck(1), such as zeroPaddedFilemode.")
            }
        }
    }

    func run(_ setup: Setup) throws {
        let head = try defaultBranch.map { try CreateCommand.branch($0) }
        let directory = try Setup.absolute(directory)
        let tools = try setup.tools(isQuiet: quiet)
        defer { tools.state.remove() }

        if let repository {
            _ = try publish(directory, repository, head, tools)
        } else {
            try publishAll(directory, tools)
        }
    }

    /// - Returns: whether anything was published.
    private func publish(
        _ directory: String, _ repository: RepositoryName, _ head: RefName?, _ tools: Tools
    ) throws -> Bool {
        defer { tools.line.clear() }

        let source = try ImportSource.open(directory, git: tools.git, state: tools.state)
        for warning in source.warnings { Failure.say("\(repository): \(warning)") }
        let outcome = try Import(
            repository: repository, defaultBranch: head, accepting: accept
        ).run(
            from: source, into: tools.hydration.manifests, git: tools.git, state: tools.state,
            progress: tools.line.progress)
        tools.line.clear()
        switch outcome {
        case .upToDate:
            print("'\(repository)' is up to date.")
            return false
        case .published(_, let manifest, let bytes):
            let refs = counted(manifest.refs.count, "ref")
            let stored = bytes.map { Progress.bytes($0) } ?? "nothing new"
            print("Imported '\(repository)': \(refs), \(stored) stored.")
            return true
        }
    }

    private func publishAll(_ directory: String, _ tools: Tools) throws {
        var tally = Tally()
        let tree = try RepositoryTree(at: directory)
        for entry in tree.skipped {
            Failure.say("'\(entry)' skipped: not an OWNER/REPO repository.")
        }
        for (path, place) in tree.entries {
            do {
                let name = try place.get()
                if try publish(path, name, nil, tools) {
                    tally.done += 1
                } else {
                    tally.unchanged += 1
                }
            } catch {
                Failure.say("\(error)")
                tally.failed += 1
            }
        }
        print(tally.sentence("imported"))
        if tally.failed > 0 { throw ExitCode.failure }
    }
}
