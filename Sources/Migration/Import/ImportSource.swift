package import Git
package import GitProtocol
import Glibc
import Posix

/// A local repository in the state in which it was opened: its refs, its HEAD, and the location of
/// its objects.
///
/// It contains what `git clone --mirror` would take: every ref under `refs/`, except those of a
/// single work tree.
package struct ImportSource: Sendable {
    /// The path, as the operator specified it.
    package let path: String
    package let head: Head
    package let refs: [RefName: ObjectID]
    package let format: ObjectFormat
    /// The parts that are not imported unchanged, a sentence each.
    package let warnings: [String]
    /// The directory of its objects, which leads to those that it borrows.
    let objects: String

    /// The target of HEAD.
    package enum Head: Equatable, Sendable {
        case branch(RefName)
        case detached
        /// A ref outside `refs/heads/`.
        case elsewhere(String)
    }

    /// Whether a directory is a repository: a bare one, a `.git` directory, or a work tree, also
    /// with a `.git` file.
    package static func isRepository(_ path: String) -> Bool {
        if access(path + "/.git", F_OK) == 0 { return true }
        return ["HEAD", "objects", "refs"].allSatisfy { access("\(path)/\($0)", F_OK) == 0 }
    }

    /// Opens the repository at a path, and refuses one that cannot be published completely.
    ///
    /// - Throws: ``ImportError``, ``GitError`` or ``SystemError``.
    package static func open(
        _ path: String, git: GitProgram, state: StateDirectory
    ) throws -> ImportSource {
        try SourceReader(
            path: path, git: git,
            workspace: .scratch(.sha1, in: state)
        ).read()
    }

    /// The branch that HEAD will point to.
    ///
    /// - Parameter wish: the operator's choice, which is required if HEAD does not point to a
    ///   branch.
    func head(wish: RefName?) throws -> RefName {
        if let wish { return wish }
        switch head {
        case .branch(let name): return name
        case .detached: throw ImportError.detachedHead(path)
        case .elsewhere(let ref): throw ImportError.headElsewhere(path, ref: ref)
        }
    }
}

/// Inspects a repository with git and through the file system.
private struct SourceReader: ~Copyable {
    let path: String
    let git: GitProgram
    let workspace: Workspace

    init(path: String, git: GitProgram, workspace: consuming Workspace) {
        self.path = path
        self.git = git
        self.workspace = workspace
    }

    func read() throws -> ImportSource {
        let directory = try gitDirectory()
        let facts = try facts(directory)
        try refusePartial(directory, objects: facts.objects)
        let listed = try refs(directory)
        let stray = try LooseRefs.strays(in: facts.common, besides: Set(listed.refs.keys))
        let left = stray.map { "'\($0)' skipped: it points to a ref that does not exist." }
        return ImportSource(
            path: path, head: try head(directory), refs: listed.refs, format: facts.format,
            warnings: listed.warnings + left, objects: facts.objects)
    }

    /// The git directory of this path, not of a parent directory.
    private func gitDirectory() throws -> String {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw ImportError.notARepository(path, reason: String(cString: strerror(errno)))
        }
        var reason = "it contains neither '.git' nor a bare repository"
        for candidate in [path + "/.git", path] where access(candidate, F_OK) == 0 {
            let outcome = try git.output(
                .foreign(["rev-parse", "--resolve-git-dir", candidate], to: "find the repository"),
                in: workspace)
            if outcome.ending.succeeded, let directory = outcome.text.first { return directory }
            if candidate != path { reason = outcome.ending.reason }
        }
        throw ImportError.notARepository(path, reason: reason)
    }

    private struct Facts {
        let format: ObjectFormat
        /// The directory of the refs that all work trees share.
        let common: String
        let objects: String
    }

    private func facts(_ directory: String) throws -> Facts {
        let outcome = try git.output(
            .foreign(
                [
                    "rev-parse", "--path-format=absolute", "--show-object-format",
                    "--is-shallow-repository", "--git-common-dir", "--git-path", "objects",
                ], on: .source(directory), to: "inspect the repository"), in: workspace)
        guard outcome.ending.succeeded else {
            throw ImportError.notARepository(path, reason: outcome.ending.reason)
        }
        let lines = outcome.text
        guard lines.count == 4, let format = ObjectFormat(rawValue: lines[0]) else {
            throw ImportError.notARepository(path, reason: "its path or format is out of the way")
        }
        if lines[1] == "true" { throw ImportError.shallow(path) }
        guard access(lines[3], R_OK | X_OK) == 0 else {
            throw SystemError("open", lines[3])
        }
        return Facts(format: format, common: lines[2], objects: lines[3])
    }

    /// A partial clone may look complete until its missing objects are needed.
    private func refusePartial(_ directory: String, objects: String) throws {
        let outcome = try git.output(
            .foreign(
                [
                    "config", "--null", "--get-regexp",
                    #"^(extensions\.partialclone|remote\..*\.promisor|extensions\.refstorage)$"#,
                ], on: .source(directory), to: "read its configuration"), in: workspace)
        guard
            outcome.ending.succeeded
                || (outcome.ending.status == .exited(1) && outcome.ending.words.isEmpty)
        else {
            throw ImportError.notARepository(path, reason: outcome.ending.reason)
        }
        for entry in outcome.bytes.split(separator: 0) {
            let text = String(decoding: entry, as: UTF8.self)
            let parts = text.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count > 1 ? parts[1].lowercased() : "true"
            if text.hasPrefix("extensions.refstorage") {
                if value == "files" { continue }
                throw ImportError.notARepository(
                    path,
                    reason: "its refs are stored in the unsupported format '\(value)'; clone it "
                        + "with 'git clone --mirror' and import the clone")
            }
            if !["false", "no", "off", "0", ""].contains(value) { throw ImportError.partial(path) }
        }
        let packs = objects + "/pack"
        guard access(packs, F_OK) == 0 else { return }
        let names = try Files.names(in: packs)
        if names.contains(where: { $0.hasSuffix(".promisor") }) { throw ImportError.partial(path) }
    }

    private func head(_ directory: String) throws -> ImportSource.Head {
        let outcome = try git.output(
            .foreign(["symbolic-ref", "--quiet", "HEAD"], on: .source(directory), to: "read HEAD"),
            in: workspace)
        if outcome.ending.status == .exited(1), outcome.ending.words.isEmpty { return .detached }
        guard outcome.ending.succeeded else {
            throw ImportError.broken(path, reason: outcome.ending.reason)
        }
        let name = outcome.bytes.prefix { $0 != UInt8(ascii: "\n") }
        if let branch = RefName(name), branch.isBranch { return .branch(branch) }
        return .elsewhere(String(decoding: name, as: UTF8.self))
    }

    /// The refs of a single work tree. gitrepository-layout(5), git-worktree(1).
    private static let ofOneWorkTree = ["refs/bisect/", "refs/worktree/", "refs/rewritten/"]

    /// Every ref with its value; objects are not read.
    private func refs(
        _ directory: String
    ) throws -> (refs: [RefName: ObjectID], warnings: [String]) {
        let outcome = try git.output(
            .foreign(
                ["for-each-ref", "--format=%(objectname) %(refname) %(symref)"],
                on: .source(directory), to: "read its refs"), in: workspace)
        // git skips a broken ref with a warning, and refs that it does not list would be deleted.
        guard outcome.ending.succeeded, outcome.ending.words.isEmpty else {
            throw ImportError.broken(path, reason: outcome.ending.reason)
        }
        var refs: [RefName: ObjectID] = [:]
        var warnings: [String] = []
        for line in outcome.bytes.split(separator: UInt8(ascii: "\n")) {
            let parts = line.split(
                separator: UInt8(ascii: " "), maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3, let id = ObjectID(parts[0]) else {
                throw GitError.failed(
                    step: "read its refs", reason: "an invalid line in the list of refs")
            }
            let shown = String(decoding: parts[1], as: UTF8.self)
            if Self.ofOneWorkTree.contains(where: { shown.hasPrefix($0) }) { continue }
            guard let name = RefName(parts[1]) else {
                throw ImportError.unsafeName(path, ref: shown)
            }
            refs[name] = id
            if !parts[2].isEmpty {
                let target = String(decoding: parts[2], as: UTF8.self)
                warnings.append(
                    "'\(shown)' is a symbolic ref to '\(target)'. It is imported as an ordinary "
                        + "ref with the same value.")
            }
        }
        return (refs, warnings)
    }
}
