import Bytes
import GitProtocol
import ObjectStore
import Repository

/// The changes of a push to a repository's refs, apart from the state that it was received on: enough
/// to apply them to another state, where that undoes nothing.
struct RefChanges: Sendable {
    /// The state that the push was received on.
    let parent: Manifest
    /// Ref → its new value; nil if it is deleted.
    private var values: [RefName: ObjectID?]
    /// The peeled values of the refs that are set to annotated tags.
    private var peeled: [RefName: ObjectID]
    private let packs: Set<Digest>

    /// The difference between two states.
    ///
    /// - Parameter accepted: the refs that git reports `ok`, including those that did not change:
    ///   `ok` promises their values, which another push may change.
    init(from parent: Manifest, to manifest: Manifest, accepted: [RefName] = []) {
        self.parent = parent
        var values: [RefName: ObjectID?] = [:]
        for (name, id) in manifest.refs where parent.refs[name] != id {
            values[name] = .some(id)
        }
        for name in parent.refs.keys where manifest.refs[name] == nil {
            values[name] = .some(nil)
        }
        for name in accepted where values[name] == nil {
            values[name] = .some(manifest.refs[name])
        }
        self.values = values
        peeled = (manifest.peeled ?? [:]).filter { values[$0.key] != nil }
        packs = manifest.packs.subtracting(parent.packs)
    }

    var isEmpty: Bool { values.isEmpty }

    /// The refs that another push moved: they have neither their old values nor this push's.
    func moved(in winner: Manifest) -> Set<RefName> {
        Set(
            values.filter { name, value in
                let current = winner.refs[name]
                return current != parent.refs[name] && current != value
            }.keys)
    }

    /// Whether all refs already have this push's values.
    func isFulfilled(in winner: Manifest) -> Bool {
        values.allSatisfy { name, value in winner.refs[name] == value }
    }

    /// The changes without those of some refs.
    func without(_ names: Set<RefName>) -> RefChanges {
        var changes = self
        changes.values = values.filter { !names.contains($0.key) }
        changes.peeled = peeled.filter { !names.contains($0.key) }
        return changes
    }

    /// Applies the changes to a state that was published on top of the parent.
    ///
    /// - Returns: nil if git has to decide: one of the refs moved, packs were merged (so an object
    ///   that only this push refers to may be stored elsewhere), a name would become a directory of
    ///   another, or the default branch would be deleted.
    func applied(to winner: Manifest, digest: Digest?) -> Manifest? {
        guard winner.kind == .live, winner.objectFormat == parent.objectFormat,
            winner.packs.isSuperset(of: parent.packs),
            winner.peeled != nil || !winner.needsPeeled
        else { return nil }

        var manifest = winner
        var peeled = winner.peeled ?? [:]
        var created: [RefName] = []
        for (name, value) in values {
            let current = winner.refs[name]
            guard current == parent.refs[name] || current == value else { return nil }
            if value == nil, current != nil, name == winner.head { return nil }
            if value != nil, current == nil { created.append(name) }
            manifest.refs[name] = value
            peeled[name] = value == nil ? nil : self.peeled[name]
        }
        guard !Self.conflicts(created, in: manifest.refs.keys) else { return nil }
        manifest.peeled = peeled.isEmpty && !manifest.needsPeeled ? nil : peeled
        manifest.packs.formUnion(packs)
        manifest.parent = digest
        return manifest
    }

    /// Whether a new ref is a directory of another, or vice versa: git could not store both as
    /// files.
    static func conflicts(_ created: [RefName], in existing: some Sequence<RefName>) -> Bool {
        if created.isEmpty { return false }
        let names = Set(created.map(\.bytes))
        let directories = Set(created.flatMap(Self.directories))
        return existing.contains { name in
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
