import ArgumentParser
import Bytes
import GitProtocol
import Maintenance
import ObjectStore
import Repository

/// `show OWNER/REPO`.
struct ShowCommand: StoreCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show the published state of a repository.",
        discussion:
            "With --json it also shows a deleted repository, which has no refs and no packs, "
            + "and whose parent is the last state.")

    @Argument(help: "Name of the repository, OWNER/REPO.", transform: RepositoryName.argument)
    var repository: RepositoryName

    @Flag(help: "Print one JSON object.")
    var json = false

    @Flag(help: "Print the size of each pack, in bytes; costs one request per pack.")
    var sizes = false

    @Option(
        help:
            "Show this earlier state, as the digest of its manifest; also of a deleted repository.")
    var manifest: Digest?

    @OptionGroup var storeOptions: StoreOptions

    func run(_ setup: Setup) throws {
        let store = setup.store
        let snapshot = try find(in: Manifests(store))
        let sizes = try sizes ? lookUpSizes(of: snapshot.manifest, in: store) : [:]
        if json {
            let whole = StateDescription(snapshot).whole(sizes: sizes)
            print(String(decoding: whole.written, as: UTF8.self))
        } else {
            tell(snapshot, sizes)
        }
    }

    /// The state to show.
    private func find(in manifests: Manifests) throws -> Snapshot {
        let resolution = try manifests.resolve(repository)
        guard let latest = resolution.latest else {
            throw LifecycleError.absent(repository, location: manifests.store.location)
        }
        if let manifest {
            guard let state = try manifests.state(manifest, before: latest) else {
                throw LifecycleError.noSuchState(repository, manifest)
            }
            return state
        }
        if case .deleted = resolution, !json {
            throw LifecycleError.deleted(repository, last: try manifests.lastLive(before: latest))
        }
        return latest
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
        print("repository     \(repository)\(manifest.kind == .tombstone ? " (deleted)" : "")")
        print("manifest       \(snapshot.digest)")
        print("parent         \(manifest.parent?.hex ?? "none")")
        print("head           \(Self.printable(manifest.head))")
        print("object format  \(manifest.objectFormat.rawValue)")
        print("packs          \(manifest.packs.count)")
        for pack in manifest.packs.sorted(by: { $0.hex < $1.hex }) {
            print("  \(ObjectKey.pack(pack))\(sizes[pack].map { " (\($0) bytes)" } ?? "")")
        }
        print("refs           \(manifest.refs.count)")
        for (name, id) in manifest.refs.sorted(by: { $0.key < $1.key }) {
            let peeled = manifest.peeled?[name].map { " (peels to \($0))" } ?? ""
            print("  \(id) \(Self.printable(name))\(peeled)")
        }
    }

    /// A name, which a client has chosen, in a form that is safe for a terminal.
    private static func printable(_ name: RefName) -> String {
        PrintableText.sentence("\(name)")
    }
}
