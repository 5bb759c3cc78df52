package import GitProtocol
import Glibc
import Posix
import Synchronization

/// The directory of a temporary bare repository, removed together with this value.
package struct Workspace: ~Copyable, Sendable {
    /// The bare repository's directory.
    package let path: String
    /// Keeps the process's directory from being removed.
    private let home: ProcessDirectory
    /// The bytes that were fed to git here, which it may have written to the disk.
    package let fed = ByteCounter()

    /// Creates an empty directory.
    init(in state: StateDirectory) throws(SystemError) {
        let directory = try state.makeWorkspaceDirectory()
        path = directory.path
        home = directory.home
    }

    deinit {
        Files.removeTree(path)
    }

    /// Creates a bare repository without objects or refs. gitrepository-layout(5).
    package static func empty(
        head: RefName, format: ObjectFormat, in state: StateDirectory
    ) throws -> Workspace {
        let workspace = try Workspace(in: state)
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

    /// Creates a bare repository for git to work in, from which no state is published.
    package static func scratch(
        _ format: ObjectFormat, in state: StateDirectory
    ) throws -> Workspace {
        try empty(head: .main, format: format, in: state)
    }

    /// The directory in which git finds packs.
    package var packDirectory: String { path + "/objects/pack" }
}

/// A number of bytes that one thread counts and another one reads.
package final class ByteCounter: Sendable {
    private let bytes = Atomic<Int64>(0)

    package var count: Int64 { bytes.load(ordering: .relaxed) }

    func add(_ count: Int) { bytes.add(Int64(count), ordering: .relaxed) }
}
