import ArgumentParser
import GitProtocol
import ObjectStore
import Repository

/// `show OWNER/REPO`.
struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the published state of a repository.")

    @Argument(help: "The repository, OWNER/REPO.")
    var repository: RepositoryName

    @OptionGroup var storeOptions: StoreOptions

    func run() throws {
        let store = try storeOptions.open(ProcessEnvironment.variables)
        try Failure.explained {
            guard case .live(let snapshot) = try Snapshot.resolve(repository, in: store) else {
                throw NotThere(repository: repository, location: store.location)
            }
            let manifest = snapshot.manifest
            print("repository     \(repository)")
            print("manifest       \(snapshot.digest)")
            print("parent         \(manifest.parent?.hex ?? "none")")
            print("head           \(manifest.head)")
            print("object format  \(manifest.objectFormat.rawValue)")
            print("packs          \(manifest.packs.count)")
            for pack in manifest.packs.sorted(by: { $0.hex < $1.hex }) {
                print("  \(ObjectKey.pack(pack))")
            }
            print("refs           \(manifest.refs.count)")
            for (name, id) in manifest.refs.sorted(by: { $0.key < $1.key }) {
                let peeled = manifest.peeled?[name].map { " (peels to \($0))" } ?? ""
                print("  \(id) \(name)\(peeled)")
            }
        }
    }

    private struct NotThere: Error, CustomStringConvertible {
        let repository: RepositoryName
        let location: String
        var description: String { "There is no repository '\(repository)' in '\(location)'." }
    }
}
