import Bytes
import Cache
package import Git
package import GitProtocol
package import ObjectStore
import Posix
package import Repository

/// A workspace with the packs of a state, and the cache from which they came.
///
/// Only ``Hydration`` creates one.
package struct HydratedWorkspace: ~Copyable, Sendable {
    package let workspace: Workspace
    private let format: ObjectFormat
    private let state: StateDirectory
    /// The cache from which its packs came and to which new ones are added; nil if nothing is kept
    /// between requests.
    private let cache: PackCache?

    init(
        _ workspace: consuming Workspace, _ format: ObjectFormat, in state: StateDirectory,
        from cache: PackCache?
    ) {
        self.workspace = workspace
        self.format = format
        self.state = state
        self.cache = cache
    }

    /// The bare repository's directory.
    package var path: String { workspace.path }

    /// The directory in which git finds packs.
    package var packDirectory: String { workspace.packDirectory }

    /// Caches a pack that was created here and then published, for the next request.
    package func keep(pack: ObjectBody, index: ObjectBody) {
        cache?.keep(pack, index: index)
    }

    /// Hashes the cached packs that are used here, after git failed in a way that damage could
    /// explain. Damaged ones are dropped, so that the next request downloads them.
    ///
    /// git's messages decide nothing, since clients choose much of them. ``PackCache/prove(_:_:)``
    /// limits what a client can cause by making git fail.
    package func doubtPacks() {
        // If the directory no longer exists, there is nothing to check.
        guard let cache, let names = try? Files.names(in: packDirectory) else { return }
        let packs = names.compactMap { name -> Digest? in
            guard name.hasPrefix("pack-"), name.hasSuffix(".pack") else { return nil }
            return Digest(hex: name.utf8.dropFirst(5).dropLast(5))
        }
        cache.prove(packs, format)
    }

    /// Checks for local causes of a push that git failed to receive: a full disk, and damaged packs
    /// in the cache.
    package func lookForTrouble() {
        lookForFullDisk()
        doubtPacks()
    }

    /// The same after a report. Most refusals have nothing to do with this machine.
    package func lookForTrouble(after report: PushReport) {
        let isSuspect = report.rejected.contains { GitWords.isSuspect($0.reason) }
        if isSuspect || report.unpackError != nil { lookForTrouble() }
    }

    /// Removes the files of dead processes, and half of the cache, if the file system has no room
    /// for the bytes that were fed to git. git has already removed what it wrote before it failed.
    private func lookForFullDisk() {
        // If the free space is unknown, nothing is done.
        guard let space = try? DiskSpace(at: state.path), space.isShort(of: workspace.fed.count)
        else {
            return
        }
        state.sweep()
        cache?.space.shrink(to: .half)
    }
}

/// A workspace to push into, with the state that it was hydrated from, so that the swap can only be
/// predicated on that.
///
/// Only ``Hydration`` creates one.
package struct WriteWorkspace: ~Copyable, Sendable {
    package let hydrated: HydratedWorkspace
    package let base: Base

    init(_ hydrated: consuming HydratedWorkspace, on base: Base) {
        self.hydrated = hydrated
        self.base = base
    }

    /// The bare repository's directory.
    package var path: String { hydrated.path }
}
