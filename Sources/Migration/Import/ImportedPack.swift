import Bytes
import Repository
import GitProtocol
import ObjectStore

/// A pack that an import made, and what it was made on top of.
final class ImportedPack {
    /// nil: all was there.
    let pack: ImportWorkspace.Pack?
    /// Published packs that hold what the new one leaves out; empty: it leaves out nothing.
    private let base: Set<Digest>
    /// Holds the files that are to be stored.
    private var sidecars: Sidecars?
    /// What is to be stored before the swap.
    private(set) var writes: [ObjectWrite]

    /// Packs what a state, nil for none, lacks.
    init(in workspace: ImportWorkspace, over live: Manifest?, accepting: [String]) throws {
        let shared = try workspace.present(Set(live?.refs.values.map { $0 } ?? []))
        pack = try workspace.pack(without: shared, accepting: accepting)
        base = shared.isEmpty ? [] : live?.packs ?? []
        writes = pack?.writes ?? []
    }

    /// Makes a bitmap and a commit graph for a pack that leaves out nothing, and is large enough.
    ///
    /// They are derived: where git cannot make them nothing fails, clones are made without.
    func makeSidecars(
        tips: Set<ObjectID>, _ format: ObjectFormat, git: GitProgram, state: StateDirectory
    ) {
        guard base.isEmpty, let pack, case .file(let path, _, _) = pack.pack,
            case .file(let index, _, _) = pack.index,
            let objects = try? PackObjects(inIndex: index, format: format),
            objects.count >= SidecarMaker.leastObjects,
            let made = try? SidecarMaker(git: git, state: state).make(
                forPack: String(path.dropLast(".pack".count)), tips: tips, format: format)
        else { return }
        writes += made.writes(of: pack.pack.digest)
        sidecars = consume made
    }

    /// Whether a state, nil for none, has what the pack leaves out.
    func stillServes(_ live: Manifest?) -> Bool {
        base.isEmpty || live?.packs.isSuperset(of: base) == true
    }

    /// The packs of the new state: none of a state that it has nothing in common with.
    func packs(over live: Manifest?) -> Set<Digest> {
        var packs = base.isEmpty ? [] : live?.packs ?? []
        if let pack { packs.insert(pack.pack.digest) }
        return packs
    }
}
