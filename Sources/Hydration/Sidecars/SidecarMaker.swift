package import Bytes
import Cache
package import Git
package import GitProtocol
import Glibc
package import ObjectStore
package import Posix

/// Writes the sidecars of one pack: a reachability bitmap, and a commit graph.
///
/// Packs are shared between repositories, so both must be valid for the pack alone. They are
/// written in a scratch repository with nothing else. git writes no bitmap of a commit unless
/// everything that it reaches exists, and then none at all; nor does this.
package struct SidecarMaker: Sendable {
    private let git: GitProgram
    private let cancellation: Cancellation
    private let state: StateDirectory

    /// The number of objects below which a pack has no sidecars: walking them is as fast.
    package static let leastObjects = PackSidecar.minimumObjects

    package init(
        git: GitProgram, state: StateDirectory, cancellation: Cancellation = Cancellation()
    ) {
        self.git = git
        self.cancellation = cancellation
        self.state = state
    }

    /// Writes the sidecars.
    ///
    /// - Parameters:
    ///   - base: the pack's path without `.pack`; its index is next to it.
    ///   - tips: the commits and tags of the pack in which the history ends. Others are ignored.
    /// - Returns: nil if they contain no commit.
    /// - Throws: ``GitError`` if git fails, for example because the pack is not closed under
    ///   reachability; ``Cancellation/Cancelled``.
    package func make(
        forPack base: String, tips: some Sequence<ObjectID>, format: ObjectFormat
    ) throws -> Sidecars? {
        let scratch = try Workspace.scratch(format, in: state)
        let pack = scratch.packDirectory + "/pack-only"
        let directory = scratch.packDirectory
        for suffix in [".pack", ".idx"] {
            try check("symlink", pack + suffix) { symlink(base + suffix, pack + suffix) }
        }
        let step = "write a bitmap"
        guard let index = try PackIndex(pack + ".idx", format: format) else {
            throw GitError.failed(step: step, reason: "no index")
        }
        let packedRefs = Set(tips.filter { index.contains($0) }.map(\.hex)).sorted()
            .map { "\($0) refs/tips/\($0)\n" }.joined()
        if packedRefs.isEmpty { return nil }
        let refsFile = scratch.path + "/packed-refs"
        try Files.write(
            Array("# pack-refs with: sorted \n".utf8) + Array(packedRefs.utf8), to: refsFile)

        // git writes a pack's own bitmap only together with the pack.
        try run(["multi-pack-index", "write", "--bitmap"], to: step, in: scratch)
        let names = try Files.names(in: directory).filter { $0.hasPrefix("multi-pack-index") }
        guard let made = names.first(where: { $0.hasSuffix(".bitmap") }),
            try PackBitmap.write(
                from: "\(directory)/\(made)", forPack: pack + ".pack", format: format,
                to: pack + ".bitmap")
        else { return nil }
        for name in names { _ = unlink("\(directory)/\(name)") }
        guard let first = try PackBitmap.firstCommit(in: pack + ".bitmap", format: format),
            let commit = index[first]
        else { return nil }
        // A wrong bitmap would lead to clones that lack objects, so git compares one with a walk.
        try run(["rev-list", "--test-bitmap", commit.hex], to: "test a bitmap", in: scratch)

        try run(
            ["commit-graph", "write", "--reachable", "--no-progress"], to: "make a commit graph",
            in: scratch,
            configuration: ["core.commitGraph=true"])
        let bitmap = try Self.body(pack + ".bitmap", format)
        let graph = try Self.body(scratch.path + "/objects/info/commit-graph", format)
        return Sidecars(scratch: scratch, bitmap: bitmap, graph: graph)
    }

    private func run(
        _ arguments: [String], to step: String, in scratch: borrowing Workspace,
        configuration: [String] = []
    ) throws {
        let run = GitRun.packing(
            arguments, to: step, cancellation: cancellation, configuration: configuration)
        try git.output(run, in: scratch).ending.require()
    }

    /// A file that was written, if it has not changed since.
    private static func body(
        _ path: String, _ format: ObjectFormat
    ) throws -> ObjectBody {
        let file = try ChecksummedFile(path, format: format)
        guard file.isIntact else {
            throw GitError.failed(
                step: "write a bitmap", reason: "'\(path)' does not match its own checksum")
        }
        return file.file.body
    }
}

/// A pack's bitmap and commit graph, in files that exist as long as this value.
package struct Sidecars: ~Copyable {
    private let scratch: Workspace
    package let bitmap: ObjectBody
    package let graph: ObjectBody

    fileprivate init(scratch: consuming Workspace, bitmap: ObjectBody, graph: ObjectBody) {
        self.scratch = scratch
        self.bitmap = bitmap
        self.graph = graph
    }

    /// The objects to store for a pack.
    package func writes(of pack: Digest) -> [ObjectWrite] {
        [.packBitmap(of: pack, bitmap), .commitGraph(of: pack, graph)]
    }
}
