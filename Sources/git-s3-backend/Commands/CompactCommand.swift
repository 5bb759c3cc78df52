import ArgumentParser
import Git
import Maintenance
import ObjectStore
import Repository

/// `compact OWNER/REPO`, `compact --all`.
struct CompactCommand: StoreCommand {
    static let configuration = CommandConfiguration(
        commandName: "compact",
        abstract: "Repack a repository into fewer packs.",
        discussion: """
            Pushes can continue in the meantime and take precedence. No object is dropped and no pack \
            is deleted. The largest pack gets a bitmap and a commit graph, which speed up clones.
            """)

    @Argument(help: "Name of the repository, OWNER/REPO.", transform: RepositoryName.argument)
    var repository: RepositoryName?

    @Flag(help: "Compact every repository in the store that needs it.")
    var all = false

    @Flag(help: "Merge all packs into one, including those that are much larger than others.")
    var full = false

    @Flag(help: "Print what would be done, without doing it.")
    var dryRun = false

    @OptionGroup var storeOptions: StoreOptions

    func validate() throws {
        if (repository == nil) != all {
            throw ValidationError("Specify one repository, OWNER/REPO, or --all.")
        }
    }

    func run(_ setup: Setup) throws {
        let tools = try setup.tools()
        defer { tools.state.remove() }

        if let repository {
            try compact(repository, tools)
        } else {
            try compactAll(tools)
        }
    }

    private func compactAll(_ tools: Tools) throws {
        var failed = 0
        try RepositoryListing.forEach(in: tools.store) { name in
            do {
                try compact(name, tools)
            } catch {
                failed += 1
                Failure.say("\(error)")
            }
        }
        if failed == 0 { return }
        let count = failed == 1 ? "1 repository was" : "\(failed) repositories were"
        throw Unfinished(description: "\(count) not compacted.")
    }

    private func compact(
        _ repository: RepositoryName, _ tools: Tools
    ) throws {
        let compaction = Compaction(
            of: repository, with: tools.hydration, scope: full ? .everything : .geometric)
        if dryRun { return try tell(try compaction.survey(), of: repository) }
        switch try compaction.run(log: tools.log) {
        case .compacted(let result):
            print(
                "Compacted '\(repository)': \(result.packsBefore) packs before, "
                    + "\(result.packsAfter) after; the new one has \(result.objects) objects, "
                    + "\(result.bytes) bytes.")
        case .madeSidecars:
            print("Wrote a bitmap and a commit graph for '\(repository)'.")
        case .nothingToDo(let packs):
            print(Self.sentence(repository, needingNothingWith: packs))
        case .gaveWay:
            throw Unfinished(description: "'\(repository)' kept changing; try again.")
        case .notThere:
            // Deleted repositories are still listed.
            if !all { throw Unfinished(description: "Repository '\(repository)' does not exist.") }
        }
    }

    private func tell(_ need: Compaction.Need, of repository: RepositoryName) throws {
        switch need {
        case .fold(let packs, let count):
            print("Would merge \(packs) of the \(count) packs of '\(repository)'.")
        case .sidecars:
            print("Would write a bitmap and a commit graph for '\(repository)', if git can.")
        case .unknown: print("Would inspect '\(repository)', which lacks a pack index.")
        case .nothing(let packs): print(Self.sentence(repository, needingNothingWith: packs))
        case .notThere:
            if !all { throw Unfinished(description: "Repository '\(repository)' does not exist.") }
        }
    }

    private static func sentence(
        _ repository: RepositoryName, needingNothingWith packs: Int
    ) -> String {
        "Nothing to compact in '\(repository)': it has \(packs) pack\(packs == 1 ? "" : "s")."
    }

    /// Some repositories were not compacted.
    private struct Unfinished: Error, CustomStringConvertible {
        let description: String
    }
}
