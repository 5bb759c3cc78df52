package import Bytes
import GitProtocol
import Glibc
import Logging
import ObjectStore
import Posix

extension Hydration {
    /// Gives a workspace the sidecars of its largest pack, where there are any. Whatever fails here
    /// fails nothing: git does without.
    func placeSidecars(
        of packs: [PlacedPack], _ format: ObjectFormat, in workspace: borrowing Workspace,
        log: Logger
    ) {
        let largest = packs.max { ($0.objects, $1.digest.hex) < ($1.objects, $0.digest.hex) }
        guard let largest, largest.objects >= PackSidecar.minimumObjects else { return }
        let pack = largest.digest
        let unknown = PackSidecar.allCases.filter { sidecar in
            switch cache?.packs.look(for: sidecar, of: pack) {
            case .none, .unknown?: return true
            case .absent?: return false
            case .kept(let path)?:
                let target = sidecar.path(of: pack, in: workspace)
                // Evicted meanwhile: asked for next time.
                try? cache?.packs.files.place(path, at: target)
                return false
            }
        }
        if unknown.isEmpty { return }
        do {
            try fetchSidecars(unknown, of: pack, format, in: workspace, log)
        } catch {
            log.warning(
                "could not fetch pack bitmap or commit graph",
                metadata: ["pack.digest": "\(pack)", "error": "\(error)"])
        }
    }

    private func fetchSidecars(
        _ sidecars: [PackSidecar], of pack: Digest, _ format: ObjectFormat,
        in workspace: borrowing Workspace, _ log: Logger
    ) throws {
        // Nobody else's attempt is waited for.
        let claim = try cache?.packs.claim(pack)
        if cache != nil, claim == nil { return }
        let targets = sidecars.map { $0.path(of: pack, in: workspace) }
        var places = targets.map { $0 + ".new" }
        if let claim { places = sidecars.map { claim.base + $0.suffix } }
        defer { if claim == nil { for place in places { unlink(place) } } }

        let found = try store.download(
            zip(sidecars, places).map {
                Download(key: $0.key(of: pack), digest: nil, path: $1)
            })
        let index = "\(workspace.packDirectory)/pack-\(pack.hex).idx"
        for (position, sidecar) in sidecars.enumerated() {
            guard found[position] else {
                cache?.packs.mark(pack, sidecar.absenceSuffix)
                continue
            }
            let place = places[position]
            guard try sidecar.isUsable(place, forIndex: index, format: format) else {
                log.warning(
                    "ignoring invalid bitmap or commit graph",
                    metadata: ["object.key": "\(sidecar.key(of: pack))"])
                cache?.packs.mark(pack, sidecar.absenceSuffix)
                continue
            }
            if let cache = cache?.packs, let claim {
                try cache.files.place(place, at: targets[position])
                cache.admit(claim, sidecar.suffix)
            } else {
                let target = targets[position]
                try check("rename", target) { rename(place, target) }
            }
        }
    }
}

extension PackCache {
    /// What is known of a pack's sidecar.
    enum SidecarKnowledge {
        case kept(path: String)
        /// There was none within the last hour.
        case absent
        case unknown
    }

    /// Seconds for which it is believed that there is none.
    private static let absenceTime = 3600

    /// Has a pack's sidecars looked for again: they were just made.
    package func forgetAbsence(of pack: Digest) {
        Self.remove(base(of: pack), PackSidecar.allCases.map(\.absenceSuffix))
    }

    /// Says what is known without asking the store.
    func look(for sidecar: PackSidecar, of pack: Digest) -> SidecarKnowledge {
        let base = base(of: pack)
        var status = stat()
        if lstat(base + sidecar.suffix, &status) == 0, status.st_mode & S_IFMT == S_IFREG {
            return .kept(path: base + sidecar.suffix)
        }
        if lstat(base + sidecar.absenceSuffix, &status) == 0,
            abs(time(nil) - status.st_mtim.tv_sec) < Self.absenceTime
        {
            return .absent
        }
        return .unknown
    }
}
