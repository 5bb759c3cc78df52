import Bytes
import Cache
import Git
import GitProtocol
import Glibc
import ObjectStore
import Posix

/// Merges packs of a workspace into one that contains all their objects and no others, whether
/// reachable or not.
struct Fold: Sendable {
    let git: GitProgram
    let cancellation: Cancellation
    let format: ObjectFormat
    let state: StateDirectory

    /// The resulting pack, which lives in the workspace.
    struct Pack: Sendable {
        /// Its path without `.pack`.
        let base: String
        let objects: Int
        let pack: ObjectBody
        let index: ObjectBody
    }

    /// The reason why a merged pack is not used: it does not contain the right objects. Nothing is
    /// published.
    struct Mismatch: Error, CustomStringConvertible {
        let description: String
    }

    /// Creates the pack and compares its objects with those of the merged packs.
    ///
    /// git copies objects by the names in the indexes, and writes those names into the new index.
    /// Indexes are derived, and a wrong one must not decide the contents of the new pack. So a
    /// second index is generated from the pack's bytes alone, and both must be equal.
    func run(_ packs: Set<Digest>, in workspace: borrowing Workspace) throws -> Pack {
        let directory = workspace.path + "/folded"
        let step = "merge packs"
        try Files.makeDirectories(directory)
        let sorted = packs.sorted { $0.hex < $1.hex }
        var hashes: [String] = []
        // The names of the packs are passed on standard input, since there can be any number of
        // them.
        let names = sorted.map { "pack-\($0.hex).pack\n" }.joined()
        let packing = GitRun.packing(
            [
                "pack-objects", "--stdin-packs", "--delta-base-offset", "--quiet",
                directory + "/pack",
            ], to: step, cancellation: cancellation, input: .bytes(Array(names.utf8)))
        try git.lines(packing, in: workspace) {
            hashes.append(String(decoding: $0, as: UTF8.self))
        }.require()
        guard let hash = hashes.first, hashes.count == 1 else {
            throw GitError.failed(step: step, reason: "it wrote \(hashes.count) packs")
        }

        let base = "\(directory)/pack-\(hash)"
        let sources = sorted.map { "\(workspace.packDirectory)/pack-\($0.hex).idx" }
        let objects = try compare(base + ".idx", with: sources)
        let indexed = try digestOfIndex(made: base)
        let pack = try verify(base)
        guard indexed == pack.index.digest else {
            throw Mismatch(
                description: "an object of the merged pack differs from what an index records.")
        }
        guard pack.objects == objects else {
            throw Mismatch(description: "the merged pack changed while it was compared.")
        }
        return Pack(base: base, objects: objects, pack: pack.pack, index: pack.index)
    }

    /// Records the digests of the bytes that git wrote, after git has finished with the pack.
    private func verify(_ base: String) throws -> VerifiedPack {
        do {
            return try VerifiedPack(base + ".pack", index: base + ".idx", format: format)
        } catch {
            switch error {
            case .unreadable(let error): throw error
            case .wrong(let reason): throw Mismatch(description: reason + ".")
            }
        }
    }

    /// The digest of the index that git generates from a pack's bytes and nothing else.
    private func digestOfIndex(made base: String) throws -> Digest {
        let alone = try Workspace.scratch(format, in: state)
        let index = alone.path + "/checked.idx"
        let indexing = GitRun.packing(
            ["index-pack", "-o", index, base + ".pack"], to: "check the merged pack",
            cancellation: cancellation)
        try git.output(indexing, in: alone).ending.require()
        return try ObjectBody.file(hashing: index).digest
    }

    /// Checks that an index lists the same objects as others together, and nothing else.
    ///
    /// - Returns: the number of objects.
    func compare(_ result: String, with sources: [String]) throws -> Int {
        let objects = try open(result)
        var isFound = [Bool](repeating: false, count: objects.count)
        for source in sources {
            try cancellation.check()
            let folded = try open(source)
            var position = 0
            for wanted in 0..<folded.count {
                while position < objects.count, objects.order(position, folded, wanted) < 0 {
                    position += 1
                }
                guard position < objects.count, objects.order(position, folded, wanted) == 0 else {
                    throw Mismatch(
                        description: "git left an object of '\(source)' out of the merged pack.")
                }
                isFound[position] = true
            }
        }
        guard isFound.allSatisfy(\.self) else {
            throw Mismatch(
                description: "git added an object to the merged pack that no other pack has.")
        }
        return objects.count
    }

    private func open(_ index: String) throws -> PackIndex {
        let objects = try PackIndex(index, format: format)
        guard let objects else { throw Mismatch(description: "'\(index)' is not an index.") }
        return objects
    }
}
