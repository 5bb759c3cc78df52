import ArgumentParser
import GitProtocol
import ObjectStore
import Repository

/// `show OWNER/REPO`.
struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the published state of a repository.",
        discussion: "With --json also that of a deleted one, which has no refs and no packs, and "
            + "whose parent is the last state.")

    @Argument(help: "The repository, OWNER/REPO.")
    var repository: RepositoryName

    @Flag(help: "As one JSON object.")
    var json = false

    @Flag(help: "With the size of each pack, in bytes: one look-up for each.")
    var sizes = false

    @OptionGroup var storeOptions: StoreOptions

    func run() throws {
        let store = try storeOptions.open(ProcessEnvironment.variables)
        try Failure.explained {
            switch try Snapshot.resolve(repository, in: store) {
            case .absent: throw LifecycleError.absent(repository, location: store.location)
            case .deleted(let tombstone) where !json:
                throw LifecycleError.deleted(repository, last: tombstone.manifest.parent)
            case .live(let snapshot), .deleted(let snapshot):
                let sizes = try sizes ? lookUpSizes(of: snapshot.manifest, in: store) : [:]
                if json {
                    let whole = StateDescription(snapshot).whole(sizes: sizes)
                    print(String(decoding: whole.written, as: UTF8.self))
                } else {
                    tell(snapshot, sizes)
                }
            }
        }
    }

    private func lookUpSizes(
        of manifest: Manifest, in store: any ObjectStore
    ) throws -> [Digest: Int64] {
        let packs = Array(manifest.packs)
        let keys = packs.map { ObjectKey.pack($0) }
        var sizes: [Digest: Int64] = [:]
        for (pack, result) in zip(packs, store.head(keys)) {
            guard let object = try result.get() else { throw StoreError.missing(.pack(pack)) }
            sizes[pack] = object.size
        }
        return sizes
    }

    private func tell(_ snapshot: Snapshot, _ sizes: [Digest: Int64]) {
        let manifest = snapshot.manifest
        print("repository     \(repository)")
        print("manifest       \(snapshot.digest)")
        print("parent         \(manifest.parent?.hex ?? "none")")
        print("head           \(manifest.head)")
        print("object format  \(manifest.objectFormat.rawValue)")
        print("packs          \(manifest.packs.count)")
        for pack in manifest.packs.sorted(by: { $0.hex < $1.hex }) {
            print("  \(ObjectKey.pack(pack))\(sizes[pack].map { " (\($0) bytes)" } ?? "")")
        }
        print("refs           \(manifest.refs.count)")
        for (name, id) in manifest.refs.sorted(by: { $0.key < $1.key }) {
            let peeled = manifest.peeled?[name].map { " (peels to \($0))" } ?? ""
            print("  \(id) \(name)\(peeled)")
        }
    }
}
