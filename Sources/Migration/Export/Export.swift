import Bytes
package import Git
package import Hydration
package import Logging
package import ObjectStore
import Repository

/// The export of a repository: a bare repository on this machine becomes equal to the published
/// one.
package struct Export: Sendable {
    package let repository: RepositoryName
    private let hydration: Hydration
    private let log: Logger

    package init(of repository: RepositoryName, by hydration: Hydration, log: Logger) {
        self.repository = repository
        self.hydration = hydration
        self.log = log
    }

    /// The outcome for the directory.
    package enum Outcome: Equatable, Sendable {
        case created(refs: Int, packs: Int)
        /// Updated; `packs` were downloaded, the others already existed.
        case updated(refs: Int, packs: Int)
        case upToDate
    }

    /// Exports into a directory that does not exist, is empty, or is a bare repository. Its refs
    /// and its HEAD become the published ones; objects are added and never removed.
    ///
    /// Objects are written first, then all refs at once, then HEAD.
    ///
    /// - Parameter path: absolute.
    /// - Throws: ``ExportError``, ``GitError`` or ``StoreError``. The refs are then either
    ///   all unchanged or all new.
    package func run(into path: String, progress: Progress = .none) throws -> Outcome {
        progress.begin("reading '\(repository)'")
        guard case .live(let snapshot) = try hydration.manifests.resolve(repository)
        else {
            throw ExportError.noSuchRepository(repository, location: hydration.store.location)
        }
        let manifest = snapshot.manifest
        let target = try ExportTarget.open(
            path, head: manifest.head, format: manifest.objectFormat,
            git: hydration.git, state: hydration.state)
        FaultPoint.reach(.exportCreated)

        let missing = target.missing(manifest.packs, format: manifest.objectFormat)
        if !missing.isEmpty {
            progress.begin("fetching packs: \(missing.count)")
            let hydrated = try hydration.readWorkspace(
                try snapshot.reduced(to: missing), log: log, limits: .none)
            try target.take(missing, from: hydrated.workspace, progress: progress)
        }
        FaultPoint.reach(.exportFetched)
        let isChanged = try target.publish(manifest)

        let refs = manifest.refs.count
        switch target.origin {
        case .created: return .created(refs: refs, packs: missing.count)
        case .found where isChanged || !missing.isEmpty:
            return .updated(refs: refs, packs: missing.count)
        case .found: return .upToDate
        }
    }
}

extension Snapshot {
    /// Returns a state with only some of the packs and without refs, for hydrating. It has a digest
    /// of its own.
    fileprivate func reduced(to packs: Set<Digest>) throws -> Snapshot {
        let manifest = Manifest(
            head: manifest.head, packs: packs, objectFormat: manifest.objectFormat)
        return Snapshot(
            repository: repository, etag: etag, digest: Digest(of: try manifest.canonicalBytes()),
            manifest: manifest)
    }
}
