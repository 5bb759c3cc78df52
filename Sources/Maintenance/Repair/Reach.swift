import Cache
import Git
import GitProtocol
import Posix
import Repository

/// A check of whether a workspace with the good packs of a state has what its refs need.
struct Reach {
    let git: GitProgram
    let manifest: Manifest

    /// The largest numbers of refs that are named, of refs that are checked one by one to find
    /// them, and of complete refs that a command line excludes.
    private static let (named, lookedAt, leftOut) = (20, 10_000, 1000)

    /// Finds the refs that need objects which no pack in the workspace has; empty if all are
    /// complete. If there are very many, only the first ones are returned.
    func incompleteRefs(in workspace: borrowing Workspace) throws -> [RefName] {
        if manifest.refs.isEmpty { return [] }
        let path = workspace.path + "/packed-refs"
        try Files.write(PackedRefs(manifest).bytes, to: path)
        let all = try walk(["--all"], in: workspace)
        if all.succeeded { return [] }

        var complete: [ObjectID] = []
        var incomplete: [RefName] = []
        for (name, id) in manifest.refs.sorted(by: { $0.key < $1.key }).prefix(Self.lookedAt) {
            // Objects that complete refs reach need not be walked again.
            let known = complete.suffix(Self.leftOut).map(\.hex)
            let range = [id.hex] + (known.isEmpty ? [] : ["--not"] + known)
            if try walk(range, in: workspace).succeeded {
                complete.append(id)
            } else {
                incomplete.append(name)
                if incomplete.count == Self.named { break }
            }
        }
        if incomplete.isEmpty {
            throw GitError.failed(step: Self.step, reason: all.words.text)
        }
        return incomplete
    }

    private static let step = "walk the history"

    /// Walks all objects that the revisions reach, and succeeds if they exist. git-rev-list(1).
    private func walk(
        _ revisions: [String], in workspace: borrowing Workspace
    ) throws -> GitEnding {
        try git.output(
            GitRun(
                ["rev-list", "--objects", "--quiet"] + revisions, to: Self.step, limits: .none),
            in: workspace
        ).ending
    }
}
