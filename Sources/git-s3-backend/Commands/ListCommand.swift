import ArgumentParser
import Bytes
import ObjectStore
import Repository

/// `list`.
struct ListCommand: StoreCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the repositories of a store.",
        discussion:
            "Prints one name per line, sorted by bytes. A repository that cannot be read is "
            + "reported on standard error, and the exit status is 1.")

    @Flag(help: "List deleted and renamed repositories instead.")
    var deleted = false

    @Flag(help: "Print one JSON object per line: name, manifest, head, counts.")
    var json = false

    @OptionGroup var storeOptions: StoreOptions

    /// The number of manifests in memory at once.
    private static let batch = 16

    func run(_ setup: Setup) throws {
        let store = setup.store
        // Keys are ordered differently: "a/b-c/pointer" comes before "a/b/pointer".
        var names: [RepositoryName] = []
        try RepositoryListing.forEach(in: store) { names.append($0) }
        names.sort { "\($0)".utf8.lexicographicallyPrecedes("\($1)".utf8) }

        var rest = names[...]
        var unread = 0
        while !rest.isEmpty {
            let some = Array(rest.prefix(Self.batch))
            rest = rest.dropFirst(some.count)
            for (name, result) in zip(some, Manifests(store).resolve(some)) {
                do {
                    tell(try result.get())
                } catch {
                    Failure.say("\(name): \(error)")
                    unread += 1
                }
            }
        }
        if unread > 0 { throw ExitCode.failure }
    }

    private func tell(_ resolution: Snapshot.Resolution) {
        switch resolution {
        case .live(let snapshot) where !deleted: tell(snapshot)
        case .deleted(let snapshot) where deleted: tell(snapshot)
        // A pointer is missing if someone has removed it manually since it was listed.
        case .live, .deleted, .absent: break
        }
    }

    private func tell(_ snapshot: Snapshot) {
        if json {
            print(String(decoding: StateDescription(snapshot).summary.written, as: UTF8.self))
        } else {
            print(snapshot.repository)
        }
    }
}
