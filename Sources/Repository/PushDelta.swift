import GitProtocol
import ObjectStore

/// What a push does to a repository's refs, apart from the state that it was received on: enough
/// to do the same to another state, where that undoes nothing.
struct PushDelta {
    /// The state that the push was received on.
    let parent: Manifest
    /// Ref → what it becomes; nil: it is deleted.
    private let values: [RefName: ObjectID?]
    /// What the refs that are set fully peel to, where they are annotated tags.
    private let peeled: [RefName: ObjectID]
    private let packs: Set<Digest>

    /// The difference between two states.
    init(from parent: Manifest, to manifest: Manifest) {
        self.parent = parent
        var values: [RefName: ObjectID?] = [:]
        for (name, id) in manifest.refs where parent.refs[name] != id {
            values[name] = .some(id)
        }
        for name in parent.refs.keys where manifest.refs[name] == nil {
            values[name] = .some(nil)
        }
        self.values = values
        peeled = (manifest.peeled ?? [:]).filter { values[$0.key] != nil }
        packs = manifest.packs.subtracting(parent.packs)
    }

    /// Applies the delta to a state that was published on top of the parent.
    ///
    /// - Returns: nil where that is not allowed without running git again: a ref of the delta
    ///   moved, packs were folded (so an object that only ours refers to may lie elsewhere), a name
    ///   would become a directory of another, or the default branch would go.
    func applied(to winner: Manifest, digest: Digest) -> Manifest? {
        guard winner.kind == .live, winner.objectFormat == parent.objectFormat,
            winner.packs.isSuperset(of: parent.packs),
            winner.peeled != nil || !winner.needsPeeled
        else { return nil }

        var manifest = winner
        var peeled = winner.peeled ?? [:]
        for (name, value) in values {
            let current = winner.refs[name]
            guard current == parent.refs[name] || current == value else { return nil }
            if value == nil, name == winner.head { return nil }
            manifest.refs[name] = value
            peeled[name] = value == nil ? nil : self.peeled[name]
        }
        guard !conflicts(in: manifest) else { return nil }
        manifest.peeled = peeled.isEmpty && !manifest.needsPeeled ? nil : peeled
        manifest.packs.formUnion(packs)
        manifest.parent = digest
        return manifest
    }

    /// Whether a ref that the delta sets is a directory of another, or the other way round: git
    /// could not keep both as files.
    private func conflicts(in manifest: Manifest) -> Bool {
        let set = values.filter { $0.value != nil }.map(\.key)
        let names = Set(set.map(\.bytes))
        let directories = Set(set.flatMap(Self.directories))
        return manifest.refs.keys.contains { name in
            directories.contains(name.bytes)
                || Self.directories(of: name).contains { names.contains($0) }
        }
    }

    /// The names above a ref's: `refs/heads` and `refs/heads/a` of `refs/heads/a/b`.
    private static func directories(of name: RefName) -> [[UInt8]] {
        name.bytes.indices.filter { name.bytes[$0] == UInt8(ascii: "/") }
            .map { Array(name.bytes[..<$0]) }
    }
}
