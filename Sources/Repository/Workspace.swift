import GitProtocol
import Glibc
import Posix

/// A hydrated temporary repository; removed when its owner goes.
package struct Workspace: ~Copyable, Sendable {
    /// The bare repository's directory.
    package let path: String

    /// Makes an empty directory; hydration fills it.
    init(in state: StateDirectory) throws(SystemError) {
        path = try state.makeWorkspaceDirectory()
    }

    deinit {
        Files.removeTree(path)
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
}

/// A workspace for a push. It carries the state that it was hydrated from, so that the swap can
/// only be predicated on that.
package struct WriteWorkspace: ~Copyable, Sendable {
    package let workspace: Workspace
    package let parent: Snapshot

    init(workspace: consuming Workspace, parent: Snapshot) {
        self.workspace = workspace
        self.parent = parent
    }
}
