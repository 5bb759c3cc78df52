/// The configuration and environment of a run of git, in addition to those that are always pinned.
package enum GitSettings: Sendable {
    /// For requests.
    case serving
    /// For packing in the background, with additional configuration, each as `name=value`.
    case packing([String])
    /// For another repository, whose data is used but whose settings are ignored.
    ///
    /// It is specified by `GIT_DIR`, so that its owner does not matter and git does not search
    /// parent directories. Its configuration can redirect nothing: hooks and the file system
    /// monitor are pinned, and no transport can start, as it would for a missing object of a
    /// partial clone.
    case foreign(Subject)

    /// The repository that an operator's command works on.
    package enum Subject: Sendable {
        /// The workspace in which git runs.
        case workspace
        /// A repository that is only read, by its git directory; it may have a work tree.
        case source(String)
        /// A bare repository that is written, and synced to disk as git does by default.
        case target(String)
    }

    /// One thread, and limits on the memory for packing, whatever the sizes of objects.
    /// git-config(1). The rest is pinned because this code relies on it: it writes the derived
    /// files of a pack itself, and git must not write others.
    private static let packing = [
        "core.commitGraph=false",
        "core.multiPackIndex=true",
        "pack.threads=1",
        "pack.windowMemory=64m",
        "pack.deltaCacheSize=32m",
        "pack.packSizeLimit=0",
        "pack.writeReverseIndex=false",
        "pack.writeBitmapHashCache=false",
        "pack.writeBitmapLookupTable=false",
    ]

    private static let foreign = ["core.fsmonitor=false", "core.commitGraph=false"]

    /// The additional configuration, each as `name=value`.
    var configuration: [String] {
        switch self {
        case .serving: []
        case .packing(let additional): Self.packing + additional
        case .foreign(.target): Self.foreign + ["core.fsync=committed"]
        case .foreign: Self.foreign
        }
    }

    /// The additional variables of the environment.
    func environment(in workspace: borrowing Workspace) -> [String] {
        guard case .foreign(let subject) = self else { return [] }
        let isolated = ["GIT_ALLOW_PROTOCOL=none", "GIT_NO_LAZY_FETCH=1"]
        switch subject {
        case .workspace: return isolated
        case .source(let directory):
            // A work tree that its configuration specifies may not exist; none is needed.
            return isolated + ["GIT_DIR=\(directory)", "GIT_WORK_TREE=\(workspace.path)"]
        case .target(let directory): return isolated + ["GIT_DIR=\(directory)"]
        }
    }
}
