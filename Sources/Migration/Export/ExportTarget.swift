import Bytes
import Cache
import Git
import GitProtocol
import Glibc
import ObjectStore
import Posix
import Repository

/// A local bare repository that is made equal to the published state. It is valid at every moment,
/// either in its old or in its new state.
struct ExportTarget: ~Copyable {
    let path: String
    let git: GitProgram
    let origin: Origin
    /// The workspace in which git runs and stores temporary files.
    private let scratch: Workspace
    /// The lock that one export holds at a time.
    private let lock: OwnedDescriptor

    /// How the directory was obtained.
    enum Origin: Sendable { case created, found }

    private var packDirectory: String { path + "/objects/pack" }

    private init(
        path: String, git: GitProgram, origin: Origin, scratch: consuming Workspace,
        lock: consuming OwnedDescriptor
    ) {
        self.path = path
        self.git = git
        self.origin = origin
        self.scratch = scratch
        self.lock = lock
    }

    /// Opens the bare repository at a path, or creates one if nothing exists there.
    static func open(
        _ path: String, head: RefName, format: ObjectFormat, git: GitProgram,
        state: StateDirectory
    ) throws -> ExportTarget {
        let scratch = try Workspace.empty(head: head, format: format, in: state)
        let origin = try make(path, head: head, format: format, git: git, in: scratch)
        if origin == .found { try refuseUnfit(path, format: format, git: git, in: scratch) }
        return ExportTarget(
            path: path, git: git, origin: origin, scratch: scratch, lock: try takeLock(path))
    }

    private static func takeLock(_ path: String) throws -> OwnedDescriptor {
        let lock = try OwnedDescriptor.open(path, O_RDONLY | O_DIRECTORY)
        let descriptor = lock.raw
        let isOurs = try Files.lock(descriptor, waiting: .never, path)
        guard isOurs else { throw ExportError.busy(path) }
        return lock
    }

    // MARK: The repository

    /// A new repository appears in one step.
    private static func make(
        _ path: String, head: RefName, format: ObjectFormat, git: GitProgram,
        in scratch: borrowing Workspace
    ) throws -> Origin {
        let names: [String]?
        do {
            names = try Files.names(in: path)
        } catch {
            switch error.code {
            case ENOENT: names = nil
            case ENOTDIR: throw ExportError.occupied(path)
            default: throw error
            }
        }
        if let names, !names.isEmpty { return .found }

        let parent = Files.parent(of: path) ?? "/"
        try Files.makeDirectories(parent, mode: 0o777)
        let made = names == nil ? "\(path).new-\(Hex.random(bytes: 4))" : path
        let branch = String(decoding: head.bytes.dropFirst("refs/heads/".utf8.count), as: UTF8.self)
        do {
            try git.output(
                .foreign(
                    [
                        "init", "--quiet", "--bare", "--template=",
                        "--object-format=\(format.rawValue)", "--initial-branch=\(branch)", made,
                    ], to: "make the repository"), in: scratch
            ).ending.require()
            for name in ["HEAD", "config"] { try sync("\(made)/\(name)") }
            for name in ["objects", "refs", ""] { try Files.syncDirectory("\(made)/\(name)") }
            if made != path { _ = try check("rename", path) { rename(made, path) } }
            try Files.syncDirectory(parent)
        } catch {
            if made != path { Files.removeTree(made) }
            throw error
        }
        return .created
    }

    /// Refuses a path that is not a bare repository, or cannot hold the published state.
    private static func refuseUnfit(
        _ path: String, format: ObjectFormat, git: GitProgram, in scratch: borrowing Workspace
    ) throws {
        let step = "inspect the repository"
        let found = try git.output(
            .foreign(["rev-parse", "--resolve-git-dir", path], to: step), in: scratch)
        guard found.ending.succeeded else { throw ExportError.occupied(path) }
        let facts = try git.output(
            .foreign(
                [
                    "rev-parse", "--is-bare-repository", "--is-shallow-repository",
                    "--show-object-format",
                ], on: .target(path), to: step), in: scratch)
        guard facts.ending.succeeded, facts.text.count == 3 else {
            throw ExportError.unfit(path, reason: facts.ending.reason)
        }
        guard facts.text[0] == "true" else {
            throw ExportError.unfit(path, reason: "it has a work tree")
        }
        guard facts.text[1] == "false" else {
            throw ExportError.unfit(path, reason: "it is a shallow clone")
        }
        guard facts.text[2] == format.rawValue else {
            throw ExportError.unfit(
                path, reason: "its object format is \(facts.text[2]), not \(format.rawValue)")
        }
        let storage = try git.output(
            .foreign(["config", "--get", "extensions.refStorage"], on: .target(path), to: step),
            in: scratch)
        guard storage.bytes.isEmpty || storage.text == ["files"] else {
            throw ExportError.unfit(path, reason: "it does not keep its refs in files")
        }
    }

    private static func sync(_ path: String) throws {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        try Files.sync(file.raw, path)
    }

    // MARK: Objects

    /// The packs that do not exist yet, or lack a matching index.
    func missing(_ packs: Set<Digest>, format: ObjectFormat) -> Set<Digest> {
        packs.filter { digest in
            let base = "\(packDirectory)/pack-\(digest.hex)"
            // A file that cannot be read is replaced.
            let isGood = try? PackIndex.isGood(
                base + ".idx", forPack: base + ".pack", format: format)
            return isGood != true
        }
    }

    /// Moves verified packs and their indexes out of a workspace; all are synced when this returns.
    /// git finds a pack by its index, which comes last.
    func take(
        _ packs: Set<Digest>, from workspace: borrowing Workspace, progress: Progress
    ) throws {
        let from = workspace.packDirectory
        let to = packDirectory
        try Files.makeDirectories(to, mode: 0o777)
        for name in try Files.names(in: to) where name.hasPrefix(Self.temporary) {
            _ = unlink("\(to)/\(name)")
        }
        for (number, digest) in packs.sorted(by: { $0.hex < $1.hex }).enumerated() {
            progress.count("writing packs: \(number + 1) of \(packs.count)")
            for suffix in [".pack", ".idx"] {
                let name = "pack-\(digest.hex)\(suffix)"
                try Self.place("\(from)/\(name)", at: "\(to)/\(name)", by: to)
            }
        }
        try Files.syncDirectory(to)
    }

    /// The prefix of files that an interrupted export leaves; `git gc` removes such names as well.
    private static let temporary = "tmp_export_"

    /// Moves a file, or copies one that is shared: the cache's file must not change its owner
    /// together with the exported repository.
    private static func place(
        _ source: String, at target: String, by directory: String
    ) throws {
        var status = stat()
        try check("stat", source) { stat(source, &status) }
        if status.st_nlink == 1, status.st_uid == geteuid() {
            let mask = umask(0o022)
            umask(mask)
            try check("chmod", source) { chmod(source, 0o444 & ~mask) }
            try sync(source)
            if rename(source, target) == 0 { return }
            if errno != EXDEV { throw SystemError("rename", target) }
        }
        let temporary = "\(directory)/\(Self.temporary)\(Hex.random(bytes: 8))"
        do {
            try Files.copy(source, to: temporary, mode: 0o444, .synced)
            try check("rename", target) { rename(temporary, target) }
        } catch {
            _ = unlink(temporary)
            throw error
        }
    }

    // MARK: Refs

    /// Sets the refs and then HEAD to those of a manifest whose packs exist.
    ///
    /// - Returns: whether anything changed.
    func publish(_ manifest: Manifest) throws -> Bool {
        let refs = try setRefs(manifest)
        FaultPoint.reach(.exportReferenced)
        let head = Array("ref: ".utf8) + manifest.head.bytes + [UInt8(ascii: "\n")]
        let path = path
        let current = try Files.read(path + "/HEAD", limit: 1 << 16)
        if current == head { return refs }
        try git.output(
            .foreign(
                ["symbolic-ref", "HEAD", manifest.head.description], on: .target(path),
                to: "set HEAD"), in: scratch
        ).ending.require()
        try Self.sync(path + "/HEAD")
        try Files.syncDirectory(path)
        return true
    }

    /// Replaces all refs with one rename of `packed-refs`. git's own transactions go ref by ref,
    /// and refuse to create a branch `a/b` in place of `a`.
    private func setRefs(_ manifest: Manifest) throws -> Bool {
        if try different(from: manifest).isEmpty { return false }
        if try LooseRefs.exist(in: path) {
            try git.output(
                .foreign(
                    ["pack-refs", "--all", "--prune"], on: .target(path), to: "pack the refs"),
                in: scratch
            ).ending.require()
        }
        try PackedRefsFile(in: path).replace(by: PackedRefs(manifest).bytes)

        // Symbolic refs are not in packed-refs, and hide refs there.
        let rest = try different(from: manifest)
        if rest.isEmpty { return true }
        try change(rest, to: manifest)
        guard try different(from: manifest).isEmpty else { throw ExportError.changing(path) }
        return true
    }

    /// The refs that differ from a manifest, including those that it does not contain.
    private func different(from manifest: Manifest) throws -> Set<[UInt8]> {
        let outcome = try git.output(
            .foreign(
                ["for-each-ref", "--format=%(objectname) %(refname) %(symref)"], on: .target(path),
                to: "read its refs"), in: scratch)
        guard outcome.ending.succeeded, outcome.ending.words.isEmpty else {
            throw ExportError.unfit(path, reason: outcome.ending.reason)
        }
        var expected: [[UInt8]: ObjectID] = [:]
        for (name, id) in manifest.refs { expected[name.bytes] = id }
        var different: Set<[UInt8]> = []
        for line in outcome.bytes.split(separator: UInt8(ascii: "\n")) {
            let parts = line.split(
                separator: UInt8(ascii: " "), maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { throw ExportError.changing(path) }
            let name = Array(parts[1])
            let id = expected.removeValue(forKey: name)
            if id == nil || id != ObjectID(parts[0]) || !parts[2].isEmpty { different.insert(name) }
        }
        return different.union(expected.keys)
    }

    private func change(_ names: Set<[UInt8]>, to manifest: Manifest) throws {
        var input: [UInt8] = []
        for name in names {
            let id = RefName(name).flatMap { manifest.refs[$0] }
            input += Array(id == nil ? "delete ".utf8 : "update ".utf8) + name + [0]
            if let id { input += Array(id.hex.utf8) + [0] }
            // Any old value is accepted.
            input.append(0)
        }
        try git.output(
            .foreign(
                ["update-ref", "-z", "--no-deref", "--stdin"], on: .target(path), to: "change refs",
                input: .bytes(input)), in: scratch
        ).ending.require()
    }
}
