package import Bytes
import Glibc
import ObjectStore
import Posix
import Synchronization

/// Manifests, kept between requests: parsed ones in memory, bounded, and as they are stored under
/// `<state>/manifests/<sha256>`, for other processes and later ones. They never change, and what
/// is read from the disk is checked against its name.
///
/// A manifest is read and parsed once however many ask for it at once, and what is parsed at once is
/// bounded.
package final class ManifestCache: ManifestCaching {
    private let directory: String
    private let space: CacheSpace
    private let memory: Mutex<ManifestMemory>
    private let parse: @Sendable ([UInt8]) throws -> Manifest
    private let parsing: ByteBudget
    private let parsed = SharedWork<Digest, Manifest>()
    private let listed = SharedWork<Digest, [UInt8]>()

    /// Bytes in memory for each byte of JSON: names and ids as values of their own, in tables.
    private static let memoryFactor = 5
    /// Bytes that are worth giving back.
    private static let large = 16 << 20

    /// - Parameters:
    ///   - memoryLimit: bytes, about, of the manifests in memory, but for one larger one; of those
    ///     that are being parsed, too.
    ///   - parse: how bytes become a manifest.
    init(
        in state: String, space: CacheSpace, memoryLimit: Int = 128 << 20,
        parse: @escaping @Sendable ([UInt8]) throws -> Manifest = { try Manifest(parsing: $0) }
    ) {
        directory = state + "/manifests"
        self.space = space
        self.parse = parse
        memory = Mutex(ManifestMemory(limit: memoryLimit))
        parsing = ByteBudget(memoryLimit)
        // Found out again with each manifest.
        try? Files.makeDirectories(directory)
    }

    /// Threads that wait for a manifest which another one reads.
    var waiting: Int { parsed.waiting }

    /// A manifest from memory, from the disk, or, checked, from the store.
    ///
    /// - Throws: what `read` does, here or for another who asked first, and ``Manifest/Invalid``.
    package func manifest(_ digest: Digest, reading read: () throws -> [UInt8]) throws -> Manifest {
        if let known = use(digest)?.manifest {
            StoreMeter.countCacheHit()
            return known
        }
        return try parsed.value(of: digest) {
            // Another may have been done with it just now.
            if let known = use(digest)?.manifest { return known }
            return try make(digest, reading: read)
        }
    }

    private func make(_ digest: Digest, reading read: () throws -> [UInt8]) throws -> Manifest {
        parsing.waitForSome()
        let bytes: [UInt8]
        if let kept = kept(digest) {
            StoreMeter.countCacheHit()
            bytes = kept
        } else {
            bytes = try read()
            keep(bytes, as: digest)
        }
        let cost = bytes.count * Self.memoryFactor
        let manifest = try parsing.with(cost) { try parse(bytes) }
        let dropped = memory.withLock { $0.remember(manifest, cost: cost, as: digest) }
        if cost + dropped >= Self.large { Memory.giveBack() }
        // What it supersedes is not asked for any more, but where pushes race.
        if let parent = manifest.parent { unlink(path(parent)) }
        return manifest
    }

    /// A manifest's refs as a file of git's, made once for each manifest in memory.
    func packedRefs(of digest: Digest, _ manifest: Manifest) throws -> [UInt8] {
        if let known = use(digest)?.packedRefs { return known }
        return try listed.value(of: digest) {
            if let known = use(digest)?.packedRefs { return known }
            let bytes = PackedRefs(manifest).bytes
            memory.withLock { $0.add(packedRefs: bytes, to: digest) }
            return bytes
        }
    }

    /// Keeps a manifest's bytes on the disk. Whatever fails here fails nothing.
    package func keep(_ bytes: [UInt8], as digest: Digest) {
        guard bytes.count <= space.limit else { return }
        let temporary = "\(directory)/\(Hex.random())"
        do {
            // Somebody may have cleared the state directory while this runs.
            try Files.makeDirectories(directory)
            try Files.write(bytes, to: temporary, mode: 0o444)
            let target = path(digest)
            _ = try check("rename", target) { rename(temporary, target) }
            space.note(added: Int64(bytes.count))
        } catch {
            unlink(temporary)
        }
    }

    private func path(_ digest: Digest) -> String { "\(directory)/\(digest.hex)" }

    /// What the disk has, if it is that.
    private func kept(_ digest: Digest) -> [UInt8]? {
        let path = path(digest)
        // Not there, or not to be read: the store has it.
        guard let bytes = try? Files.read(path, limit: Manifest.maximumSize) else { return nil }
        guard Digest(of: bytes) == digest else {
            unlink(path)
            return nil
        }
        // The time of its last use; another user's stays as it is.
        utimensat(AT_FDCWD, path, nil, AT_SYMLINK_NOFOLLOW)
        return bytes
    }

    private func use(_ digest: Digest) -> ManifestMemory.Entry? {
        memory.withLock { $0.use(digest) }
    }
}
