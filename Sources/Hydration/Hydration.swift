import Bytes
package import Cache
package import Git
package import GitProtocol
import Glibc
package import Logging
package import ObjectStore
import Posix
package import Repository

/// Creates workspaces: bare repositories with exactly the contents of a snapshot.
package struct Hydration: Sendable {
    /// The states of the repositories in the store.
    package let manifests: Manifests
    /// The cache of this machine; nil if everything is downloaded into the workspace, and removed
    /// with it.
    package let cache: LocalCache?
    package let state: StateDirectory
    package let git: GitProgram
    /// The pre-receive hook's executable.
    package let hook: String

    package init(
        store: any ObjectStore, cache: LocalCache? = nil, state: StateDirectory, git: GitProgram,
        hook: String
    ) {
        manifests = Manifests(store, cache: cache?.manifests)
        self.cache = cache
        self.state = state
        self.git = git
        self.hook = hook
    }

    package var store: any ObjectStore { manifests.store }

    /// Creates a workspace to read from.
    ///
    /// - Throws: ``StoreError``, ``GitError`` or ``SystemError``; nothing is left behind then.
    package func readWorkspace(
        _ snapshot: Snapshot, log: Logger, limits: GitLimits
    ) throws -> HydratedWorkspace {
        let manifest = snapshot.manifest
        let workspace = try empty(head: manifest.head, manifest.objectFormat)
        let packs = try fill(workspace, from: snapshot, log: log, limits: limits)
        placeSidecars(of: packs, manifest.objectFormat, in: workspace, log: log)
        return hydrated(workspace, manifest)
    }

    /// Creates a workspace to push into, on top of a state or for a new repository, with our hook.
    /// It contains only packs and indexes, because a push must be checked against the objects
    /// themselves, not against derived files.
    ///
    /// - Throws: ``StoreError``, ``GitError`` or ``SystemError``; nothing is left behind then.
    package func writeWorkspace(
        on base: Base, log: Logger, limits: GitLimits
    ) throws -> WriteWorkspace {
        let manifest = base.manifest
        let workspace = try empty(head: manifest.head, manifest.objectFormat)
        if case .published(let snapshot) = base {
            _ = try fill(workspace, from: snapshot, log: log, limits: limits)
        }
        try installHook(in: workspace)
        return WriteWorkspace(hydrated(workspace, manifest), on: base)
    }

    /// Whether hydrating downloads packs into the cache.
    ///
    /// Each workspace has its own packs if there is no cache. Then only a request that needs one at
    /// once may create a workspace.
    package func fillsCache(for manifest: Manifest) -> Bool {
        guard let packs = cache?.packs else { return false }
        return !manifest.packs.allSatisfy(packs.has)
    }

    private func hydrated(
        _ workspace: consuming Workspace, _ manifest: Manifest
    ) -> HydratedWorkspace {
        HydratedWorkspace(workspace, manifest.objectFormat, in: state, from: cache?.packs)
    }

    /// Installs the hook with which git requests permission for a push.
    private func installHook(in workspace: borrowing Workspace) throws {
        let path = workspace.path
        try Files.makeDirectories(path + "/hooks")
        let link = path + "/hooks/pre-receive"
        try check("symlink", link) { symlink(hook, link) }
    }

    /// Caches a pack that was created here and then published, with its derived files, for the next
    /// request. Only files are cached, and failures are ignored.
    package func keep(
        _ pack: ObjectBody, index: ObjectBody, bitmap: ObjectBody? = nil,
        commitGraph: ObjectBody? = nil
    ) {
        cache?.packs.keep(pack, index: index, bitmap: bitmap, commitGraph: commitGraph)
    }

    /// A workspace without objects or refs.
    package func empty(head: RefName, _ format: ObjectFormat) throws -> Workspace {
        try makingRoom { try Workspace.empty(head: head, format: format, in: state) }
    }

    /// Adds every pack and index first, each verified, and only then refs.
    ///
    /// - Returns: the packs.
    private func fill(
        _ workspace: borrowing Workspace, from snapshot: Snapshot, log: Logger,
        limits: GitLimits
    ) throws -> [PlacedPack] {
        let manifest = snapshot.manifest
        let packs = try place(
            manifest.packs.sorted { $0.hex < $1.hex }, manifest.objectFormat, in: workspace,
            log: log, limits: limits)
        let refs =
            try cache?.manifests.packedRefs(of: snapshot.digest, manifest)
            ?? PackedRefs(manifest).bytes
        let path = workspace.path + "/packed-refs"
        try makingRoom {
            try Files.write(refs, to: path)
        }
        return packs
    }
}

extension PackCache {
    /// Caches the objects that were stored from files.
    func keep(
        _ pack: ObjectBody, index: ObjectBody, bitmap: ObjectBody? = nil,
        commitGraph: ObjectBody? = nil
    ) {
        let bodies = [
            (Suffix.pack, pack), (Suffix.index, index), (Suffix.bitmap, bitmap),
            (Suffix.graph, commitGraph),
        ]
        let files = bodies.compactMap { suffix, body -> (String, String)? in
            if case .file(let path, _, _)? = body { (suffix, path) } else { nil }
        }
        guard files.count >= 2, files[0].0 == Suffix.pack, files[1].0 == Suffix.index else {
            return
        }
        keep(pack.digest, files)
    }
}
