import Bytes
import Git
import GitProtocol
import Hydration
import ObjectStore
import Repository

/// A pack that was created by an import, and the state that it builds on.
final class ImportedPack {
    /// nil if every object was published already.
    let pack: ImportWorkspace.Pack?
    /// The published packs with the objects that the new one omits; empty if it omits none.
    private let base: Set<Digest>
    /// The workspace with the files to store.
    private var sidecars: Sidecars?
    /// The objects to store before the swap.
    private(set) var writes: [ObjectWrite]

    /// Packs the objects that a state lacks; nil for no state.
    init(in workspace: ImportWorkspace, over live: Manifest?, accepting: [String]) throws {
        let shared = try workspace.present(Set(live?.refs.values.map { $0 } ?? []))
        pack = try workspace.pack(without: shared, accepting: accepting)
        base = shared.isEmpty ? [] : live?.packs ?? []
        writes = pack?.writes ?? []
    }

    /// Writes a bitmap and a commit graph for a pack that omits nothing and is large enough.
    ///
    /// They are derived, so a failure of git is not an error; clones work without them.
    func makeSidecars(
        tips: Set<ObjectID>, _ format: ObjectFormat, git: GitProgram, state: StateDirectory
    ) {
        guard base.isEmpty, let pack, case .file(let path, _, _) = pack.pack,
            case .file(let index, _, _) = pack.index,
            let objects = try? PackIndex(index, format: format),
            objects.count >= SidecarMaker.leastObjects,
            let made = try? SidecarMaker(git: git, state: state).make(
                forPack: String(path.dropLast(".pack".count)), tips: tips, format: format)
        else { return }
        writes += made.writes(of: pack.pack.digest)
        sidecars = consume made
    }

    /// Whether a state contains the objects that the pack omits; nil for no state.
    func stillServes(_ live: Manifest?) -> Bool {
        base.isEmpty || live?.packs.isSuperset(of: base) == true
    }

    /// The packs of the new state; without those of a state that it shares nothing with.
    func packs(over live: Manifest?) -> Set<Digest> {
        var packs = base.isEmpty ? [] : live?.packs ?? []
        if let pack { packs.insert(pack.pack.digest) }
        return packs
    }
}
