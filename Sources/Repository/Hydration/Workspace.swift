package import GitProtocol
import Glibc
import ObjectStore
import Posix
import Synchronization

/// A hydrated temporary repository; removed when its owner goes.
package struct Workspace: ~Copyable, Sendable {
    /// The bare repository's directory.
    package let path: String
    private let state: StateDirectory
    /// Keeps the process's directory from being removed, and from being swept.
    private let home: ProcessDirectory
    private let format: ObjectFormat
    /// Where its packs came from, and new ones go.
    private let cache: PackCache?
    /// Bytes that git was fed here: what it may have had to write.
    let fed = ByteCounter()

    /// Makes an empty directory; hydration fills it.
    init(
        _ format: ObjectFormat, in state: StateDirectory, cache: PackCache? = nil
    ) throws(SystemError) {
        let directory = try state.makeWorkspaceDirectory()
        path = directory.path
        home = directory.home
        self.state = state
        self.format = format
        self.cache = cache
    }

    deinit {
        Files.removeTree(path)
    }

    /// A bare repository without objects or refs. gitrepository-layout(5).
    package static func empty(
        head: RefName, format: ObjectFormat, in state: StateDirectory, cache: PackCache? = nil
    ) throws(RepositoryError) -> Workspace {
        try local("make a workspace") { () throws(SystemError) in
            let workspace = try Workspace(format, in: state, cache: cache)
            for directory in ["/refs", "/objects", "/objects/pack", "/objects/info"] {
                let path = workspace.path + directory
                _ = try check("mkdir", path) { mkdir(path, 0o700) }
            }
            try Files.write(
                Array("ref: ".utf8) + head.bytes + [UInt8(ascii: "\n")],
                to: workspace.path + "/HEAD")
            let version = format == .sha1 ? 0 : 1
            var config = "[core]\n\trepositoryformatversion = \(version)\n\tbare = true\n"
            if format == .sha256 { config += "[extensions]\n\tobjectformat = sha256\n" }
            try Files.write(Array(config.utf8), to: workspace.path + "/config")
            return workspace
        }
    }

    /// Where git finds the packs.
    package var packDirectory: String { path + "/objects/pack" }

    /// The end of what git said on its standard error, for the log.
    package func gitErrors() -> String {
        guard let bytes = try? Files.read(path + "/" + Self.errorFile) else { return "" }
        return String(decoding: bytes.suffix(2000), as: UTF8.self)
            .split(separator: "\n").suffix(5).joined(separator: "; ")
    }

    static let errorFile = "stderr"

    /// Keeps a pack that was made here and then published, so that the next request has it.
    func keep(_ pack: ReceivedPush.KeptPack) {
        cache?.keep(pack.pack, index: pack.index)
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
    func lookForTrouble() {
        lookForFullDisk()
        doubtPacks()
    }

    /// The same after a report. Most refusals have nothing to do with this machine.
    func lookForTrouble(after report: PushReport) {
        let isSuspect = report.rejected.contains { Self.suspectReasons.contains($0.reason) }
        if isSuspect || report.unpackError != nil { lookForTrouble() }
    }

    /// Reasons that git gives, whole and as it has them, for a ref whose objects it cannot read.
    /// git's builtin/receive-pack.c.
    private static let suspectReasons = [
        "missing necessary objects", "failed to update ref", "bad ref",
    ].map { Array($0.utf8) }

    /// Removes what dead processes left, and half of the cache, where the file system has no room
    /// for what git was fed: git has removed by now what it wrote before it failed.
    private func lookForFullDisk() {
        // Nothing can be learned of it: nothing is done.
        guard let space = try? DiskSpace(at: state.path), space.isShort(of: fed.count) else {
            return
        }
        state.sweep()
        cache?.space.shrink(to: .half)
    }
}

/// A number of bytes that one thread counts and another one reads.
final class ByteCounter: Sendable {
    private let bytes = Atomic<Int64>(0)

    var count: Int64 { bytes.load(ordering: .relaxed) }

    func add(_ count: Int) { bytes.add(Int64(count), ordering: .relaxed) }
}

/// A workspace for a push. It carries the state that it was hydrated from, so that the swap can
/// only be predicated on that.
package struct WriteWorkspace: ~Copyable, Sendable {
    package let workspace: Workspace
    package let parent: Base

    init(workspace: consuming Workspace, parent: Snapshot) {
        self.init(workspace: workspace, parent: .published(parent))
    }

    init(workspace: consuming Workspace, parent: Base) {
        self.workspace = workspace
        self.parent = parent
    }
}
