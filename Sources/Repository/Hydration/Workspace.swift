import GitProtocol
import Glibc
import ObjectStore
import Posix

/// A hydrated temporary repository; removed when its owner goes.
package struct Workspace: ~Copyable, Sendable {
    /// The bare repository's directory.
    package let path: String
    /// Keeps the process's directory from being removed, and from being swept.
    private let home: ProcessDirectory
    /// Where its packs came from, and new ones go.
    private let cache: PackCache?

    /// Makes an empty directory; hydration fills it.
    init(in state: StateDirectory, cache: PackCache? = nil) throws(SystemError) {
        let directory = try state.makeWorkspaceDirectory()
        path = directory.path
        home = directory.home
        self.cache = cache
    }

    deinit {
        Files.removeTree(path)
    }

    /// A bare repository without objects or refs. gitrepository-layout(5).
    static func empty(
        head: RefName, format: ObjectFormat, in state: StateDirectory, cache: PackCache? = nil
    ) throws(RepositoryError) -> Workspace {
        try local("make a workspace") { () throws(SystemError) in
            let workspace = try Workspace(in: state, cache: cache)
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
    var packDirectory: String { path + "/objects/pack" }

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

    /// Has the packs that came from the cache hashed again before they are used next, if it was
    /// them that git stumbled over.
    package func doubtPacks() { doubtPacks(over: gitErrors()) }

    /// Looks through what git said of a push that failed for what lies at this machine: packs from
    /// the cache that may be damaged, and a disk that is full. There the cache gives up a half, so
    /// that it does not keep the next attempt out, too.
    ///
    /// - Parameter told: what git said elsewhere than on its standard error.
    func heedErrors(besides told: [UInt8]) {
        let errors = gitErrors() + String(decoding: told, as: UTF8.self)
        if [ENOSPC, EDQUOT].contains(where: { errors.contains(String(cString: strerror($0))) }) {
            cache?.space.shrink(to: .half)
        }
        doubtPacks(over: errors)
    }

    private func doubtPacks(over errors: String) {
        guard let cache, Self.signsOfDamage.contains(where: { errors.contains($0) }),
            // The directory is gone: nothing to doubt.
            let names = try? Files.names(in: packDirectory)
        else { return }
        for name in names where name.hasPrefix("pack-") && name.hasSuffix(".idx") {
            if let digest = Digest(hex: name.utf8.dropFirst(5).dropLast(4)) {
                cache.doubt(digest)
            }
        }
    }

    /// git's packfile.c, object-file.c, unpack-trees.c, commit.c.
    private static let signsOfDamage = [
        "packfile", "corrupt", "inflate", "zlib", "bad object", "bad tree", "could not read",
        "unable to read", "Could not read", "failed to read", "mismatch", "missing",
    ]
}

/// A workspace for a push. It carries the state that it was hydrated from, so that the swap can
/// only be predicated on that.
package struct WriteWorkspace: ~Copyable, Sendable {
    package let workspace: Workspace
    package let parent: PushParent

    init(workspace: consuming Workspace, parent: Snapshot) {
        self.init(workspace: workspace, parent: .published(parent))
    }

    init(workspace: consuming Workspace, parent: PushParent) {
        self.workspace = workspace
        self.parent = parent
    }
}
