import Glibc
package import ObjectStore
import Posix
import Synchronization

/// Manifests, kept between requests: parsed ones in memory, bounded, and as they are stored under
/// `<state>/manifests/<sha256>`, for other processes and later ones. They never change, and what
/// is read from the disk is checked against its name.
package final class ManifestCache: Sendable {
    private let directory: String
    private let space: CacheSpace
    private let memoryLimit: Int
    private let memory = Mutex(Memory())

    private struct Memory {
        var entries: [Digest: Entry] = [:]
        var cost = 0
        var uses = 0
    }

    private struct Entry {
        let manifest: Manifest
        var packedRefs: [UInt8]?
        /// Bytes, about.
        var cost: Int
        var lastUse: Int
    }

    /// Bytes in memory for each byte of JSON: names and ids as values of their own, in tables.
    private static let memoryFactor = 5

    /// - Parameter memoryLimit: bytes, about.
    init(in state: String, space: CacheSpace, memoryLimit: Int = 128 << 20) {
        directory = state + "/manifests"
        self.space = space
        self.memoryLimit = memoryLimit
        // Found out again with each manifest.
        try? Files.makeDirectories(directory)
    }

    /// A manifest from memory, from the disk, or, checked, from the store.
    ///
    /// - Throws: what `read` does, and ``Manifest/Invalid``.
    func manifest(_ digest: Digest, reading read: () throws -> [UInt8]) throws -> Manifest {
        if let known = use(digest)?.manifest {
            StoreMeter.countCacheHit()
            return known
        }
        let bytes: [UInt8]
        if let kept = kept(digest) {
            StoreMeter.countCacheHit()
            bytes = kept
        } else {
            bytes = try read()
            keep(bytes, as: digest)
        }
        let manifest = try Manifest(parsing: bytes)
        remember(
            Entry(
                manifest: manifest, packedRefs: nil, cost: bytes.count * Self.memoryFactor,
                lastUse: 0), as: digest)
        // What it supersedes is not asked for any more, but where pushes race.
        if let parent = manifest.parent { unlink(path(parent)) }
        return manifest
    }

    /// A manifest's refs as a file of git's, made once for each manifest in memory.
    func packedRefs(of digest: Digest, _ manifest: Manifest) -> [UInt8] {
        if let known = use(digest)?.packedRefs { return known }
        let bytes = PackedRefs(manifest).bytes
        memory.withLock { memory in
            guard memory.entries[digest]?.packedRefs == nil else { return }
            memory.entries[digest]?.packedRefs = bytes
            memory.entries[digest]?.cost += bytes.count
            if memory.entries[digest] != nil { memory.cost += bytes.count }
        }
        return bytes
    }

    /// Keeps a manifest's bytes on the disk. Whatever fails here fails nothing.
    func keep(_ bytes: [UInt8], as digest: Digest) {
        guard bytes.count <= space.limit else { return }
        let temporary = "\(directory)/\(randomHex())"
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

    private func use(_ digest: Digest) -> Entry? {
        memory.withLock { memory in
            memory.uses += 1
            memory.entries[digest]?.lastUse = memory.uses
            return memory.entries[digest]
        }
    }

    private func remember(_ entry: Entry, as digest: Digest) {
        memory.withLock { memory in
            guard entry.cost <= memoryLimit, memory.entries[digest] == nil else { return }
            memory.uses += 1
            var entry = entry
            entry.lastUse = memory.uses
            memory.entries[digest] = entry
            memory.cost += entry.cost
            guard memory.cost > memoryLimit else { return }
            // Somewhat more than must go, so that this is not done each time.
            for (digest, entry) in memory.entries.sorted(by: { $0.value.lastUse < $1.value.lastUse }
            )
            where memory.cost > memoryLimit / 8 * 7 {
                memory.entries[digest] = nil
                memory.cost -= entry.cost
            }
        }
    }
}

/// A store with the manifests that were read from it. The cache goes where the store goes: whoever
/// resolves a repository through it, or follows its ancestors, reads each manifest once.
package struct CachedStore: ObjectStore {
    private let inner: any ObjectStore
    let manifests: ManifestCache

    init(_ inner: any ObjectStore, _ manifests: ManifestCache) {
        self.inner = inner
        self.manifests = manifests
    }

    package var location: String { inner.location }
    package var retryPolicy: RetryPolicy { inner.retryPolicy }
    package var checksBodies: Bool { inner.checksBodies }
    package var dialect: Dialect { inner.dialect }
    package var servers: ServerNames { inner.servers }

    package func perform(_ requests: [StoreRequest]) -> [Result<StoreAnswer, StoreError>] {
        let results = inner.perform(requests)
        // A manifest that was written here will be the next one to be read.
        for case (.put(.bytes(let bytes, let digest), let key, _), .success(.stored)) in zip(
            requests, results) where key == .manifest(digest)
        {
            manifests.keep(bytes, as: digest)
        }
        return results
    }

    package func list(
        prefix: String, startingAfter: String?
    ) throws(StoreError) -> [ListedObject] {
        try inner.list(prefix: prefix, startingAfter: startingAfter)
    }
}
