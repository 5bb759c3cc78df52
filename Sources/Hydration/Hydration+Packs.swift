import Bytes
import Cache
import Git
import GitProtocol
import Glibc
import Logging
import ObjectStore
import Posix

/// A pack in a workspace.
struct PlacedPack {
    let digest: Digest
    /// The number of objects.
    let objects: Int
}

extension Hydration {
    /// The number of packs that are claimed and downloaded at the same time: each needs a
    /// descriptor.
    private static let batch = 64

    /// Places packs and their indexes in a workspace, from the cache if it has them. Others are
    /// downloaded through the cache, so that only one of all requests for a pack downloads it, or
    /// directly if the cache cannot be used.
    func place(
        _ packs: [Digest], _ format: ObjectFormat, in workspace: borrowing Workspace, log: Logger,
        limits: GitLimits
    ) throws -> [PlacedPack] {
        let fetch = PackFetch(
            store: store, git: git, format: format, limits: limits, log: log)
        guard let cache = cache?.packs else {
            return try placeDirectly(packs, fetch, in: workspace)
        }
        var placed: [PlacedPack] = []
        /// Places a pack from the cache.
        func take(_ digest: Digest, _ directory: String) -> Bool {
            guard let objects = cache.take(digest, into: directory, format: format) else {
                return false
            }
            StoreMeter.countCacheHit()
            placed.append(PlacedPack(digest: digest, objects: objects))
            return true
        }
        let directory = workspace.packDirectory
        var missing = packs.filter { !take($0, directory) }[...]
        /// Packs that others are downloading.
        var awaited: [Digest] = []
        /// Packs for which the cache cannot be used.
        var unkept: [Digest] = []

        while !missing.isEmpty {
            var claims: [PackClaim] = []
            for digest in missing.prefix(Self.batch) {
                do {
                    guard let claim = try cache.claim(digest) else {
                        awaited.append(digest)
                        continue
                    }
                    // Another thread may have added it between the look and the claim.
                    if !take(digest, directory) { claims.append(claim) }
                } catch {
                    unkept.append(digest)
                }
            }
            placed += try bring(claims, through: cache, fetch, in: workspace)
            missing = missing.dropFirst(Self.batch)
        }
        // No claim is held while waiting for others.
        for digest in awaited {
            let claim: PackClaim?
            do {
                claim = try cache.waitToClaim(digest)
            } catch {
                unkept.append(digest)
                continue
            }
            guard let claim else {
                log.warning(
                    "gave up waiting for another download of a pack",
                    metadata: ["pack.digest": "\(digest)"])
                unkept.append(digest)
                continue
            }
            if !take(digest, directory) {
                placed += try bring([claim], through: cache, fetch, in: workspace)
            }
        }
        return try placed + placeDirectly(unkept, fetch, in: workspace)
    }

    /// Downloads claimed packs, and adds them to the workspace and to the cache.
    private func bring(
        _ claims: [PackClaim], through cache: PackCache, _ fetch: PackFetch,
        in workspace: borrowing Workspace
    ) throws -> [PlacedPack] {
        if claims.isEmpty { return [] }
        let bases = Dictionary(uniqueKeysWithValues: claims.map { ($0.digest, $0.base) })
        func base(_ digest: Digest) -> String { bases[digest] ?? "" }
        let target = workspace.packDirectory
        try makingRoom { try fetch.fetch(claims.map(\.digest), to: base, in: workspace) }
        return try claims.map { claim in
            // The workspace comes first, so that an eviction does not matter.
            let placed = "\(target)/pack-\(claim.digest.hex)"
            try makingRoom {
                try cache.files.place(claim.base + ".idx", at: placed + ".idx")
                do throws(SystemError) {
                    try cache.files.place(claim.base + ".pack", at: placed + ".pack")
                } catch {
                    unlink(placed + ".idx")
                    throw error
                }
            }
            let pack = try describe(claim.digest, at: placed, fetch.format)
            cache.admit(claim)
            return pack
        }
    }

    /// Downloads packs for this workspace only.
    private func placeDirectly(
        _ packs: [Digest], _ fetch: PackFetch, in workspace: borrowing Workspace
    ) throws -> [PlacedPack] {
        if packs.isEmpty { return [] }
        let target = workspace.packDirectory
        func base(_ digest: Digest) -> String { "\(target)/pack-\(digest.hex)" }
        try makingRoom { try fetch.fetch(packs, to: base, in: workspace) }
        return try packs.map { try describe($0, at: base($0), fetch.format) }
    }

    private func describe(
        _ digest: Digest, at base: String, _ format: ObjectFormat
    ) throws -> PlacedPack {
        let objects = try PackIndex.objects(base + ".idx", forPack: base + ".pack", format: format)
        return PlacedPack(digest: digest, objects: objects ?? 0)
    }

    /// Runs `body`, which writes to the disk. If the disk is full, it is repeated after the files
    /// of dead processes were removed, and parts of the cache.
    func makingRoom<Value: ~Copyable>(_ body: () throws -> Value) throws -> Value {
        for share in CacheSpace.Share.allCases {
            do {
                return try body()
            } catch  where Self.isFullDisk(error) && cache != nil {
                state.sweep()
                cache?.space.shrink(to: share)
            }
        }
        return try body()
    }

    private static func isFullDisk(_ error: any Error) -> Bool {
        switch error {
        case StoreError.local(_, let error), let error as SystemError:
            error.isFullDisk
        default: false
        }
    }
}
