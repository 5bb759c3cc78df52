import Bytes
package import Repository
package import Logging
package import ObjectStore

/// Makes a bare repository on this machine equal to what is published.
package struct Export: Sendable {
    package let repository: RepositoryName
    private let hydration: Hydration
    private let log: Logger

    package init(of repository: RepositoryName, by hydration: Hydration, log: Logger) {
        self.repository = repository
        self.hydration = hydration
        self.log = log
    }

    /// What became of the directory.
    package enum Outcome: Equatable, Sendable {
        case created(refs: Int, packs: Int)
        /// `packs` were fetched; the others were there.
        case updated(refs: Int, packs: Int)
        case upToDate
    }

    /// Exports into a directory that is not there, is empty, or is a bare repository: then its refs
    /// and its HEAD become those published, and objects are added, never removed.
    ///
    /// Objects come first, then all refs at once, then HEAD.
    ///
    /// - Parameter path: absolute.
    /// - Throws: ``ExportError``, ``RepositoryError`` or ``StoreError``; the refs are all as before
    ///   then, or all new.
    package func run(into path: String, progress: Progress = .none) throws -> Outcome {
        progress.begin("reading '\(repository)'")
        guard case .live(let snapshot) = try hydration.manifests.resolve(repository)
        else {
            throw ExportError.noSuchRepository(repository, location: hydration.store.location)
        }
        let manifest = snapshot.manifest
        let target = try ExportTarget.open(
            path, head: manifest.head, format: manifest.objectFormat,
            git: OperatorGit(program: hydration.git, progress: progress), state: hydration.state)
        FaultPoint.reach(.exportCreated)

        let missing = target.missing(manifest.packs, format: manifest.objectFormat)
        if !missing.isEmpty {
            progress.begin("fetching packs: \(missing.count)")
            let hydrated = try hydration.readWorkspace(
                try snapshot.reduced(to: missing), log: log)
            try target.take(missing, from: hydrated.workspace)
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
    /// A state of some of the packs alone, without refs, to be hydrated. It is one of its own, with
    /// a digest of its own.
    fileprivate func reduced(to packs: Set<Digest>) throws -> Snapshot {
        let manifest = Manifest(
            head: manifest.head, packs: packs, objectFormat: manifest.objectFormat)
        return Snapshot(
            repository: repository, etag: etag, digest: Digest(of: try manifest.canonicalBytes()),
            manifest: manifest)
    }
}
