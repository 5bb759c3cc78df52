import Bytes
import Cache
import Git
import GitProtocol
import Glibc
import Logging
import ObjectStore
import Posix

extension Hydration {
    /// Adds the sidecars of its largest pack to a workspace, if they exist. Failures are ignored,
    /// since git works without them.
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
                // If it was evicted in the meantime, the next request downloads it.
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
        // The attempts of others are not waited for.
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
                cache?.packs.markAbsent(sidecar, of: pack)
                continue
            }
            let place = places[position]
            guard try sidecar.isUsable(place, forIndex: index, format: format) else {
                log.warning(
                    "ignoring invalid bitmap or commit graph",
                    metadata: ["object.key": "\(sidecar.key(of: pack))"])
                cache?.packs.markAbsent(sidecar, of: pack)
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
