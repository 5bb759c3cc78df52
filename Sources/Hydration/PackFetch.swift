import Bytes
import Git
import GitProtocol
import Glibc
import Logging
import ObjectStore
import Posix

/// Downloads packs and their indexes from the store, and verifies each.
struct PackFetch {
    let store: any ObjectStore
    let git: GitProgram
    let format: ObjectFormat
    let limits: GitLimits
    let log: Logger

    /// Downloads packs and indexes, all at once, to `<base>.pack` and `<base>.idx`.
    ///
    /// - Throws: ``StoreError``, ``GitError`` or ``SystemError``; some of the files may exist then.
    func fetch(
        _ packs: [Digest], to base: (Digest) -> String, in workspace: borrowing Workspace
    ) throws {
        let found = try store.download(
            packs.flatMap { digest in
                [
                    Download(
                        key: .pack(digest), digest: digest, path: base(digest) + ".pack"),
                    Download(key: .packIndex(digest), digest: nil, path: base(digest) + ".idx"),
                ]
            })
        for (position, digest) in packs.enumerated() {
            guard found[2 * position] else { throw StoreError.missing(.pack(digest)) }
            try index(
                digest, base(digest), in: workspace,
                stored: found[2 * position + 1] ? .present : .absent)
        }
    }

    /// Whether the bucket had an index for a pack.
    private enum StoredIndex { case present, absent }

    /// Uses the stored index if it is valid. Otherwise git generates one, which replaces that in
    /// the bucket. It is derived, so a failure to store it is ignored.
    private func index(
        _ digest: Digest, _ base: String, in workspace: borrowing Workspace,
        stored: StoredIndex
    ) throws {
        if stored == .present,
            try PackIndex.isGood(base + ".idx", forPack: base + ".pack", format: format)
        {
            return
        }

        _ = unlink(base + ".idx")
        let ending = try git.output(
            GitRun(
                ["index-pack", "--object-format=\(format.rawValue)", base + ".pack"],
                to: "index a pack", limits: limits),
            in: workspace
        ).ending
        guard ending.succeeded else {
            // The pack matches its name. An index is rarely larger, and git has removed by now what
            // it wrote of it.
            let needed = try Files.size(of: base + ".pack") ?? 0
            if let space = try? DiskSpace(at: workspace.path), space.isShort(of: needed) {
                throw SystemError("write", base, code: ENOSPC)
            }
            throw StoreError.corrupt(
                .pack(digest), reason: "git cannot index it: \(ending.words.text)")
        }
        do {
            try store.write([.packIndex(of: digest, try .file(hashing: base + ".idx"))])
            log.notice("pack index repaired", metadata: ["pack.digest": "\(digest)"])
        } catch {
            log.warning(
                "could not repair pack index",
                metadata: ["pack.digest": "\(digest)", "error": "\(error)"])
        }
    }
}
