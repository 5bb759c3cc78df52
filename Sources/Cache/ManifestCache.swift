package import Bytes
import Git
import Glibc
import ObjectStore
import Posix
package import Repository
import Synchronization

/// Manifests that are kept between requests: a bounded number of parsed ones in memory, and for
/// other processes and later ones their bytes in `<state>/manifests/<sha256>`. Manifests never
/// change, and bytes from the disk are checked against their digest.
///
/// A manifest is read and parsed once, however many threads need it at the same time, and the
/// memory used for parsing is bounded.
package final class ManifestCache: ManifestCaching {
    private let directory: String
    private let space: CacheSpace
    private let memory: Mutex<ManifestMemory>
    private let parse: @Sendable ([UInt8]) throws -> Manifest
    private let parsing: ByteBudget
    private let parsed = SharedWork<Digest, Manifest>()
    private let listed = SharedWork<Digest, [UInt8]>()

    /// The bytes in memory for each byte of JSON: names and ids are separate values in tables.
    private static let memoryFactor = 5
    /// The number of freed bytes from which on memory is returned to the system.
    private static let large = 16 << 20

    /// - Parameters:
    ///   - memoryLimit: the approximate size in bytes of the manifests in memory, except for a
    ///     single larger one; also the bound of those that are being parsed.
    ///   - parse: turns bytes into a manifest.
    init(
        in state: String, space: CacheSpace, memoryLimit: Int = 128 << 20,
        parse: @escaping @Sendable ([UInt8]) throws -> Manifest = { try Manifest(parsing: $0) }
    ) {
        directory = state + "/manifests"
        self.space = space
        self.parse = parse
        memory = Mutex(ManifestMemory(limit: memoryLimit))
        parsing = ByteBudget(memoryLimit)
        // A failure shows again with each manifest.
        try? Files.makeDirectories(directory)
    }

    /// The number of threads that wait for a manifest that another thread reads.
    var waiting: Int { parsed.waiting }

    /// Returns a manifest from memory, from the disk, or, after a check, from the store.
    ///
    /// - Throws: the errors of `read`, called here or by the thread that came first, and
    ///   ``Manifest/Invalid``.
    package func manifest(_ digest: Digest, reading read: () throws -> [UInt8]) throws -> Manifest {
        if let known = use(digest)?.manifest {
            StoreMeter.countCacheHit()
            return known
        }
        return try parsed.value(of: digest) {
            // Another thread may have added it in the meantime.
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
        // The superseded manifest is no longer needed, unless pushes race.
        if let parent = manifest.parent { unlink(path(parent)) }
        return manifest
    }

    /// A manifest's refs as git's `packed-refs` file, created once for each manifest in memory.
    package func packedRefs(of digest: Digest, _ manifest: Manifest) throws -> [UInt8] {
        if let known = use(digest)?.packedRefs { return known }
        return try listed.value(of: digest) {
            if let known = use(digest)?.packedRefs { return known }
            let bytes = PackedRefs(manifest).bytes
            memory.withLock { $0.add(packedRefs: bytes, to: digest) }
            return bytes
        }
    }

    /// Writes a manifest's bytes to the disk. Failures are ignored.
    package func keep(_ bytes: [UInt8], as digest: Digest) {
        guard bytes.count <= space.limit else { return }
        let temporary = "\(directory)/\(Hex.random())"
        do {
            // The state directory may have been cleared in the meantime.
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

    /// The bytes on the disk, if they match the digest.
    private func kept(_ digest: Digest) -> [UInt8]? {
        let path = path(digest)
        // If the file is missing or unreadable, the store has the manifest.
        guard let bytes = try? Files.read(path, limit: Manifest.maximumSize) else { return nil }
        guard Digest(of: bytes) == digest else {
            unlink(path)
            return nil
        }
        // The time of the last use; that of another user's file stays as it is.
        utimensat(AT_FDCWD, path, nil, AT_SYMLINK_NOFOLLOW)
        return bytes
    }

    private func use(_ digest: Digest) -> ManifestMemory.Entry? {
        memory.withLock { $0.use(digest) }
    }
}
