import Bytes
import Cache
import Git
import GitProtocol
import ObjectStore
import Posix
import Repository

/// Refs of a published state that point to objects which none of its packs contains.
///
/// git accepts no push that sets a ref in a repository that has one: its connectivity check walks all
/// refs, and stops there. So a push that touches a broken ref is received in a workspace without
/// any of them: for git the ref does not exist, and the bridge sees the update as the push
/// requested it. Fewer refs make that check stricter, never weaker. Broken refs that the
/// push does not change are put back as they were. A push that only deletes is not checked, and
/// needs none of this.
struct BrokenRefs: Sendable {
    /// Empty for nearly every push.
    private var ids: [RefName: ObjectID] = [:]

    /// Looks for broken refs, if an update of a push that sets refs begins at one. The workspace has
    /// the packs of the state.
    init(
        touchedBy commands: PushCommands, in workspace: borrowing Workspace, _ state: Manifest
    ) throws {
        guard commands.bringsPack else { return }
        let touched = commands.commands.compactMap { command in
            command.update.flatMap { state.refs[$0.name] }
        }
        if try !Self.missing(Set(touched), in: workspace, state).isEmpty {
            ids = try Self.all(in: workspace, state)
        }
    }

    private static func all(
        in workspace: borrowing Workspace, _ state: Manifest
    ) throws -> [RefName: ObjectID] {
        let missing = try missing(Set(state.refs.values), in: workspace, state)
        return missing.isEmpty ? [:] : state.refs.filter { missing.contains($0.value) }
    }

    /// The given objects that no pack contains, according to the packs' indexes.
    private static func missing(
        _ ids: Set<ObjectID>, in workspace: borrowing Workspace, _ state: Manifest
    ) throws -> Set<ObjectID> {
        var missing = ids
        for pack in state.packs {
            if missing.isEmpty { break }
            let index = "\(workspace.packDirectory)/pack-\(pack.hex).idx"
            let objects = try PackIndex(index, format: state.objectFormat)
            guard let objects else { throw PushError.unproven("'\(index)' is not an index") }
            missing = missing.filter { !objects.contains($0) }
        }
        return missing
    }

    // MARK: Receiving without them

    /// Removes them from the workspace.
    func hide(in workspace: borrowing Workspace, _ state: Manifest) throws {
        if ids.isEmpty { return }
        var rest = state
        rest.refs = state.refs.filter { ids[$0.key] == nil }
        rest.peeled = state.peeled?.filter { ids[$0.key] == nil }
        let refs = PackedRefs(rest).bytes
        let path = workspace.path + "/packed-refs"
        try Files.write(refs, to: path)
    }

    /// The commands for git. Deletions are unchanged: git deletes a ref that does not exist, except
    /// HEAD's branch. An update whose old value is not the published one gets an old value that git
    /// will refuse.
    func commandsForGit(_ commands: PushCommands) -> PushCommands {
        if ids.isEmpty { return commands }
        return commands.withOldValues { update in
            guard let id = ids[update.name], !update.new.isZero else { return update.old }
            return update.old == id ? .zero(id.format) : id
        }
    }

    /// A bridge that decides on the updates as the push requested them.
    func bridge(
        to bridge: any PreReceiveBridge, _ commands: PushCommands
    ) -> any PreReceiveBridge {
        if ids.isEmpty { return bridge }
        let pairs = zip(commandsForGit(commands).commands, commands.commands)
            .compactMap { told, asked in
                told.update.flatMap { told in asked.update.map { (told.line, $0.line) } }
            }
        return TranslatingBridge(
            bridge: bridge, lines: Dictionary(pairs, uniquingKeysWith: { first, _ in first }))
    }

    /// Restores the refs that the push did not change.
    ///
    /// - Parameter accepted: the refs that git reports `ok`.
    func restore(
        into refs: inout WorkspaceRefs, besides accepted: [[UInt8]], _ state: Manifest
    ) throws {
        if ids.isEmpty { return }
        let changed = Set(accepted.compactMap { RefName($0) })
        let created = changed.filter { refs.ids[$0] != nil && state.refs[$0] == nil }
        for (name, id) in ids where !changed.contains(name) && refs.ids[name] == nil {
            refs.put(name, id, peeled: state.peeled?[name])
        }
        // git did not see them, so it could not refuse 'a/b' because of 'a'.
        if RefChanges.conflicts(Array(created), in: refs.ids.keys) {
            throw PushError.unproven(
                "a new ref and a broken one conflict as file and directory")
        }
    }

    // MARK: Explaining

    /// Fails if git set none of the refs that the push sets, and the state has broken refs: they are
    /// the reason, and only an operator or a push that touches them can repair them.
    static func explainRefusal(
        of commands: PushCommands, _ report: PushReport, in workspace: borrowing Workspace,
        _ parent: Base
    ) throws {
        let accepted = Set(report.accepted)
        let set = commands.commands.filter { !$0.new.isZero }
        guard report.refusal != nil, !set.isEmpty,
            !set.contains(where: { accepted.contains($0.rawName) })
        else { return }
        let broken = try all(in: workspace, parent.manifest)
        guard let (name, id) = broken.min(by: { $0.key < $1.key }) else { return }
        let repository = parent.repository
        var reason = "its ref '\(name)' points to \(id), which is in none of its packs"
        if broken.count > 1 { reason += " (\(broken.count) of its refs are broken)" }
        reason += "; set or delete the ref by a push"
        if let earlier = parent.manifest.parent {
            reason += ", or restore an earlier state: 'git-s3-backend delete \(repository)', "
            reason += "then 'git-s3-backend restore \(repository) --manifest \(earlier)'"
        }
        throw RepositoryError.damaged(repository, reason: reason)
    }
}
