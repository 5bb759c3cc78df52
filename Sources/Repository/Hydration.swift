import GitProtocol
import Glibc
package import Logging
package import ObjectStore
import Posix

/// Makes workspaces: bare repositories that hold exactly what a snapshot says.
package struct Hydration: Sendable {
    package let store: any ObjectStore
    package let state: StateDirectory
    package let git: GitProgram
    /// The pre-receive hook's executable.
    package let hook: String

    package init(store: any ObjectStore, state: StateDirectory, git: GitProgram, hook: String) {
        self.store = store
        self.state = state
        self.git = git
        self.hook = hook
    }

    /// A workspace to read from.
    ///
    /// - Throws: ``StoreError`` or ``RepositoryError``; nothing is left behind then.
    package func readWorkspace(_ snapshot: Snapshot, log: Logger) throws -> Workspace {
        let workspace = try open(snapshot)
        try fill(workspace, from: snapshot, log: log)
        return workspace
    }

    /// A workspace to push into, with our hook.
    package func writeWorkspace(_ snapshot: Snapshot, log: Logger) throws -> WriteWorkspace {
        let workspace = try open(snapshot)
        try fill(workspace, from: snapshot, log: log)
        try installHook(in: workspace)
        return WriteWorkspace(workspace: workspace, parent: snapshot)
    }

    /// Makes git ask us before it takes a push.
    func installHook(in workspace: borrowing Workspace) throws(RepositoryError) {
        let path = workspace.path
        try local("install the hook") { () throws(SystemError) in
            try Files.makeDirectories(path + "/hooks")
            let link = path + "/hooks/pre-receive"
            try check("symlink", link) { symlink(hook, link) }
        }
    }

    private func open(_ snapshot: Snapshot) throws(RepositoryError) -> Workspace {
        try .empty(
            head: snapshot.manifest.head, format: snapshot.manifest.objectFormat, in: state)
    }

    /// Every pack and index first, each verified, and only then refs.
    private func fill(
        _ workspace: borrowing Workspace, from snapshot: Snapshot, log: Logger
    ) throws {
        let packs = snapshot.manifest.packs.sorted { $0.hex < $1.hex }
        let directory = workspace.packDirectory
        let found = try store.download(
            packs.flatMap { digest in
                let base = "\(directory)/pack-\(digest.hex)"
                return [
                    Download(key: .pack(digest), digest: digest, path: base + ".pack"),
                    Download(key: .packIndex(digest), digest: nil, path: base + ".idx"),
                ]
            })
        for (position, digest) in packs.enumerated() {
            guard found[2 * position] else { throw StoreError.missing(.pack(digest)) }
            try indexPack(
                digest, in: workspace, format: snapshot.manifest.objectFormat,
                sidecar: found[2 * position + 1] ? .stored : .absent, log: log)
        }
        let refs = PackedRefs(snapshot.manifest).bytes
        let path = workspace.path + "/packed-refs"
        try local("write refs") { () throws(SystemError) in try Files.write(refs, to: path) }
    }

    /// Whether the bucket had an index for a pack.
    private enum Sidecar { case stored, absent }

    /// Takes the stored index if it is good, or has git make one, and puts that right in the
    /// bucket: it is derived, so a failure to do so fails nothing.
    private func indexPack(
        _ digest: Digest, in workspace: borrowing Workspace, format: ObjectFormat,
        sidecar: Sidecar, log: Logger
    ) throws {
        let base = "\(workspace.packDirectory)/pack-\(digest.hex)"
        let isGood = try local("check an index") { () throws(SystemError) in
            guard sidecar == .stored else { return false }
            return try PackIndex.isGood(base + ".idx", forPack: base + ".pack", format: format)
        }
        if isGood { return }

        _ = unlink(base + ".idx")
        let result = try git.run(
            ["index-pack", "--object-format=\(format.rawValue)", base + ".pack"], in: workspace,
            step: "index a pack")
        guard result.ending == .exited(0) else {
            throw StoreError.corrupt(
                .pack(digest), reason: "git cannot index it: \(workspace.gitErrors())")
        }
        do {
            try store.write([.packIndex(of: digest, try .file(hashing: base + ".idx"))])
            log.notice("mended a pack's index", metadata: ["pack.digest": "\(digest)"])
        } catch {
            log.warning(
                "could not mend a pack's index",
                metadata: ["pack.digest": "\(digest)", "error": "\(error)"])
        }
    }
}

/// Runs local work, saying which step failed.
func local<Value: ~Copyable>(
    _ step: String, _ body: () throws(SystemError) -> Value
) throws(RepositoryError) -> Value {
    do {
        return try body()
    } catch {
        throw .local(step: step, error)
    }
}
