import Cache
import Git
import GitProtocol
import Glibc
import ObjectStore
import Posix

/// A workspace that borrows the objects of a source and contains its refs, but neither its
/// configuration nor its grafts and hooks. Packs are created here.
final class ImportWorkspace {
    private let source: ImportSource
    private let git: GitProgram
    private let progress: Progress
    private let state: StateDirectory
    private let workspace: Workspace

    /// A self-contained pack of a source's objects, with its index. The files are removed with the
    /// workspace.
    struct Pack {
        let pack: ObjectBody
        let index: ObjectBody

        var writes: [ObjectWrite] { [.pack(pack), .packIndex(of: pack.digest, index)] }
    }

    init(
        _ source: ImportSource, git: GitProgram, state: StateDirectory, progress: Progress
    ) throws {
        self.progress = progress
        self.source = source
        self.git = git
        self.state = state
        workspace = try .scratch(source.format, in: state)
        guard !source.objects.contains("\n") else {
            throw ImportError.notARepository(
                source.path, reason: "its path contains a newline")
        }
        let refs = PackedRefs(refs: source.refs, peeled: nil).bytes
        try write(Array("\(source.objects)\n".utf8), to: "objects/info/alternates")
        try write(refs, to: "packed-refs")
    }

    private func write(_ bytes: [UInt8], to name: String) throws {
        let path = "\(workspace.path)/\(name)"
        try Files.write(bytes, to: path)
    }

    // MARK: The contents of the source

    /// Checks that the source contains the objects of its refs, and that its branches point to
    /// commits.
    ///
    /// - Returns: annotated tag ref → what it fully peels to.
    func checkRefs() throws -> [RefName: ObjectID] {
        let types = try types(of: Set(source.refs.values))
        for (name, id) in source.refs.sorted(by: { $0.key < $1.key }) {
            guard let type = types[id] else {
                throw ImportError.broken(
                    source.path, reason: "its ref '\(name)' points to \(id), which does not exist")
            }
            if name.isBranch, type != "commit" {
                throw ImportError.broken(
                    source.path, reason: "its branch '\(name)' names a \(type)")
            }
        }
        let read: WorkspaceRefs
        do {
            read = try WorkspaceRefs.read(from: workspace, git: git, limits: .none)
        } catch GitError.failed(_, let reason) {
            throw ImportError.broken(source.path, reason: reason)
        }
        guard read.ids == source.refs else {
            throw ImportError.broken(source.path, reason: "git does not read all of its refs")
        }
        return read.peeled
    }

    /// The given objects that exist in the source.
    func present(_ ids: Set<ObjectID>) throws -> Set<ObjectID> {
        Set(try types(of: ids).keys)
    }

    /// The types of the existing objects.
    private func types(of ids: Set<ObjectID>) throws -> [ObjectID: String] {
        if ids.isEmpty { return [:] }
        let list = ids.map(\.hex).sorted().joined(separator: "\n") + "\n"
        let step = "look for its objects"
        let outcome = try git.output(
            .foreign(
                ["cat-file", "--batch-check=%(objectname) %(objecttype)"], to: step,
                input: .bytes(Array(list.utf8))), in: workspace)
        try outcome.ending.require()
        var types: [ObjectID: String] = [:]
        for line in outcome.bytes.split(separator: UInt8(ascii: "\n")) {
            let parts = line.split(separator: UInt8(ascii: " "), maxSplits: 1)
            guard parts.count == 2, let id = ObjectID(parts[0]) else {
                throw GitError.failed(step: step, reason: "an unexpected line about an object")
            }
            let type = String(decoding: parts[1], as: UTF8.self)
            if type != "missing" { types[id] = type }
        }
        return types
    }

    // MARK: The pack

    /// Packs the objects that the refs reach and `published` does not, in one pack.
    ///
    /// git writes the names by which it found the objects into an index. A second index is
    /// generated from the pack's bytes alone, with every object checked as in a push. Only if both
    /// are equal is each object the right one, and the pack complete.
    ///
    /// - Parameters:
    ///   - published: objects that the source contains, and that are stored with everything they
    ///     reach.
    ///   - accepting: the messages of git's checks, git-fsck(1), that are ignored.
    /// - Returns: nil if everything is published already.
    func pack(without published: Set<ObjectID>, accepting: [String]) throws -> Pack? {
        let wanted = Set(source.refs.values).subtracting(published)
        if wanted.isEmpty { return nil }
        let list =
            wanted.map { "\($0)\n" }.sorted().joined()
            + published.map { "^\($0)\n" }.sorted().joined()
        let watched = progress.isWatched ? "--progress" : "-q"
        let packing = try git.output(
            .foreign(
                [
                    "pack-objects", "--revs", "--non-empty", "--delta-base-offset", watched,
                    workspace.path + "/pack",
                ], to: "pack the objects", input: .bytes(Array(list.utf8)),
                errors: .progress(progress, title: "packing")), in: workspace)
        guard packing.ending.succeeded else { throw failure("could not be packed", packing.ending) }
        guard let name = packing.text.first else { return nil }
        let base = "\(workspace.path)/pack-\(name)"

        _ = unlink(workspace.path + "/checked.idx")
        if published.isEmpty {
            // The pack is self-contained, so none of the source's objects is needed; git would
            // compare each object with the source's again.
            let alone = try Workspace.scratch(source.format, in: state)
            try check(base + ".pack", accepting, in: alone)
        } else {
            try check(base + ".pack", accepting, in: workspace)
        }

        let written = try ObjectBody.file(hashing: base + ".idx")
        let pack = try verify(base + ".pack", index: workspace.path + "/checked.idx")
        guard written.digest == pack.index.digest else {
            throw ImportError.broken(
                source.path, reason: "an object's content is not what its name says")
        }
        return Pack(pack: pack.pack, index: pack.index)
    }

    /// Records the digests of the bytes that git wrote and checked.
    private func verify(_ pack: String, index: String) throws -> VerifiedPack {
        do {
            return try VerifiedPack(pack, index: index, format: source.format)
        } catch {
            let step = "verify the pack"
            switch error {
            case .unreadable(let error): throw error
            case .wrong(let reason): throw GitError.failed(step: step, reason: reason)
            }
        }
    }

    /// Generates an index of a pack, and has git check every object and that the objects it refers
    /// to exist.
    private func check(
        _ pack: String, _ accepting: [String], in place: borrowing Workspace
    ) throws {
        let strict = accepting.map { "\($0)=warn" }.joined(separator: ",")
        let indexing = try git.output(
            .foreign(
                [
                    "index-pack", strict.isEmpty ? "--strict" : "--strict=\(strict)",
                    "-o", workspace.path + "/checked.idx",
                ] + (progress.isWatched ? ["-v"] : []) + [pack], to: "check the objects",
                errors: .progress(progress, title: "checking")), in: place)
        guard indexing.ending.succeeded else { throw checkFailure(indexing.ending) }
    }

    /// If git was killed, or the disk was full, its failure says nothing about the source.
    private func failure(_ what: String, _ ending: GitEnding) -> any Error {
        var isKilled = false
        if case .signalled = ending.status { isKilled = true }
        if isKilled || ending.words.reportLocalFailure {
            return GitError.failed(step: "pack the objects", reason: ending.reason)
        }
        return ImportError.broken(source.path, reason: "it \(what): \(ending.reason)")
    }

    private func checkFailure(_ ending: GitEnding) -> any Error {
        guard ending.words.reportBadObject else {
            return failure("could not be checked", ending)
        }
        return ImportError.refused(
            source.path, reason: ending.words.text, message: ending.words.refusedMessage)
    }
}
