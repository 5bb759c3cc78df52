import ArgumentParser
import Git
import GitProtocol
import Glibc
import Maintenance
import ObjectStore
import Posix
import Repository

/// `repair OWNER/REPO`, `repair --all`.
struct RepairCommand: StoreCommand {
    static let configuration = CommandConfiguration(
        commandName: "repair",
        abstract: "Find and repair damaged or missing objects.",
        discussion: """
            Reads every object that the published state needs and checks its SHA-256. Rewrites \
            damaged or missing packs and manifests from good copies in the cache of the state \
            directory or in --from, and rebuilds indexes from their packs. Pushes can continue in \
            the meantime.

            The exit status is 0 if everything is good at the end, 1 otherwise.
            """)

    @Argument(help: "Name of the repository, OWNER/REPO.", transform: RepositoryName.argument)
    var repository: RepositoryName?

    @Flag(help: "Check every repository in the store.")
    var all = false

    @Option(
        help: ArgumentHelp(
            "Also look for good copies in this directory; can be repeated.",
            discussion:
                "For example another machine's state directory, or a copy of the bucket. File "
                + "names do not matter.",
            valueName: "directory"))
    var from: [String] = []

    @Flag(help: "Report damage without writing anything.")
    var dryRun = false

    @Flag(help: "Show no progress.")
    var quiet = false

    @OptionGroup var storeOptions: StoreOptions

    func validate() throws {
        if (repository == nil) != all {
            throw ValidationError("Specify one repository, OWNER/REPO, or --all.")
        }
    }

    func run(_ setup: Setup) throws {
        let directories = try from.map { try Self.directory($0) }
        let tools = try setup.tools(isQuiet: quiet)
        defer { tools.state.remove() }

        let copies = try GoodCopies(inCacheOf: setup.statePath(), and: directories) { sentence in
            tools.line.clear()
            Failure.say(sentence)
        }
        if let repository {
            if try !repair(repository, copies, tools) { throw ExitCode.failure }
        } else {
            try repairAll(copies, tools)
        }
    }

    /// Checks that a directory exists.
    private static func directory(_ path: String) throws -> String {
        let path = try Setup.absolute(path)
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            throw ValidationError(
                "Invalid value '\(path)' for --from: expected an existing directory.")
        }
        return path
    }

    private func repairAll(_ copies: GoodCopies, _ tools: Tools) throws {
        var (whole, others) = (0, 0)
        try RepositoryListing.forEach(in: tools.store) { name in
            do {
                if try repair(name, copies, tools) { whole += 1 } else { others += 1 }
            } catch LifecycleError.deleted {
                // Its objects belong only to earlier states.
            } catch {
                others += 1
                Failure.say("\(error)")
            }
        }
        print("Repositories: \(whole) good, \(others) not good.")
        if others > 0 { throw ExitCode.failure }
    }

    /// - Returns: whether the repository is complete now.
    private func repair(
        _ repository: RepositoryName, _ copies: GoodCopies, _ tools: Tools
    ) throws -> Bool {
        defer { tools.line.clear() }

        let outcome = try Repair(
            of: repository, with: tools.hydration, copies: copies,
            mode: dryRun ? .check : .repair, progress: tools.line.progress
        ) { finding in
            tools.line.clear()
            print(finding)
        }.run()
        tools.line.clear()
        print(RepairReport(repository: repository, outcome: outcome).summary)
        for sentence in RepairReport(repository: repository, outcome: outcome).advice {
            Failure.say(sentence)
        }
        return outcome.isWhole
    }
}

/// The report on a checked repository, for people.
struct RepairReport {
    let repository: RepositoryName
    let outcome: RepairOutcome

    /// One line for standard output.
    var summary: String {
        let checked = "'\(repository)': \(counted(outcome.objects, "object")) checked"
        if outcome.findings.isEmpty, outcome.isWhole { return checked + ", all good." }
        let repaired = outcome.findings.count { $0.isRepaired }
        return checked + ", \(repaired) repaired, \(outcome.findings.count - repaired) not "
            + "repaired."
    }

    /// The remedies for damage that could not be repaired, a sentence or two each.
    var advice: [String] {
        guard let refs = outcome.incompleteRefs else { return [copiesElsewhere] }
        var advice: [String] = []
        if !refs.isEmpty {
            let names = refs.map(\.description).joined(separator: ", ")
            advice.append("Refs that need objects which are in no good pack: \(names).")
        } else if !outcome.lost.isEmpty {
            advice.append("The other packs contain everything that the refs need.")
        }
        if !outcome.lost.isEmpty { advice.append(copiesElsewhere) }
        let damaged = outcome.lost.filter { if case .damaged = $0.fault { true } else { false } }
        if !damaged.isEmpty {
            let keys = damaged.map { "\($0.key)" }.joined(separator: ", ")
            advice.append(
                "Otherwise first remove the damaged objects from the bucket, so that the same "
                    + "data can be pushed again: \(keys).")
        }
        if !refs.isEmpty {
            advice.append(
                "With a complete clone: 'git-s3-backend delete \(repository)', then "
                    + "'git-s3-backend import CLONE \(repository)'.")
        }
        if let earlier = outcome.earlierState {
            advice.append(
                "To go back to the newest undamaged state: 'git-s3-backend delete "
                    + "\(repository)', then 'git-s3-backend restore --manifest \(earlier) "
                    + "\(repository)'. Later pushes must be made again.")
        }
        return advice
    }

    private var copiesElsewhere: String {
        "If another server's state directory, a version of the bucket or a backup has the object: "
            + "'git-s3-backend repair \(repository) --from DIRECTORY'."
    }
}
