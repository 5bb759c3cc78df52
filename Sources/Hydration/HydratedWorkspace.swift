package import Repository
import Cache
package import Git
import Bytes
package import GitProtocol
package import ObjectStore
import Posix

/// A workspace with the packs of a state, and the cache that they came from.
///
/// Only ``Hydration`` makes one.
package struct HydratedWorkspace: ~Copyable, Sendable {
    package let workspace: Workspace
    private let format: ObjectFormat
    private let state: StateDirectory
    /// Where its packs came from, and new ones go; nil if nothing is kept between requests.
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

    /// Where git finds the packs.
    package var packDirectory: String { workspace.packDirectory }

    /// Keeps a pack that was made here and then published, so that the next request has it.
    package func keep(pack: ObjectBody, index: ObjectBody) {
        cache?.keep(pack, index: index)
    }

    /// Has the cached packs used here hashed, after a git run that failed in a way that damage could
    /// explain. Bad ones are dropped, so that the next request fetches them.
    ///
    /// What git printed decides nothing, since clients choose much of it. ``PackCache/prove(_:_:)``
    /// bounds what a client that makes git fail at will can cause.
    package func doubtPacks() {
        // The directory is gone: nothing to look at.
        guard let cache, let names = try? Files.names(in: packDirectory) else { return }
        let packs = names.compactMap { name -> Digest? in
            guard name.hasPrefix("pack-"), name.hasSuffix(".pack") else { return nil }
            return Digest(hex: name.utf8.dropFirst(5).dropLast(5))
        }
        cache.prove(packs, format)
    }

    /// Looks for the causes at this machine of a push that git failed to receive: a full disk, and
    /// cached packs that are damaged.
    package func lookForTrouble() {
        lookForFullDisk()
        doubtPacks()
    }

    /// The same after a report. Most refusals have nothing to do with this machine.
    package func lookForTrouble(after report: PushReport) {
        let isSuspect = report.rejected.contains { GitWords.isSuspect($0.reason) }
        if isSuspect || report.unpackError != nil { lookForTrouble() }
    }

    /// Removes what dead processes left, and half of the cache, where the file system has no room
    /// for what git was fed: git has removed by now what it wrote before it failed.
    private func lookForFullDisk() {
        // Nothing can be learned of it: nothing is done.
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
/// Only ``Hydration`` makes one.
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
