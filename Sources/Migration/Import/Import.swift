package import Bytes
package import Repository
package import GitProtocol
package import ObjectStore

/// Publishes a repository of this machine in the place of what is published under a name.
package struct Import: Sendable {
    package let repository: RepositoryName
    /// The branch that HEAD shall name; nil: that of the source.
    package let defaultBranch: RefName?
    /// Messages of git's checks, git-fsck(1), that are let pass.
    package let accepting: [String]

    /// Attempts that other writers may foil.
    private static let attempts = 5

    package init(
        repository: RepositoryName, defaultBranch: RefName? = nil, accepting: [String] = []
    ) {
        self.repository = repository
        self.defaultBranch = defaultBranch
        self.accepting = accepting
    }

    /// What became of it.
    package enum Outcome: Sendable {
        /// What is published has the same refs and HEAD; nothing was written.
        case upToDate
        /// The new state, and the bytes of the pack that was stored for it; nil: it needed none.
        case published(Digest, Manifest, packBytes: Int64?)
    }

    /// Imports a source as it was when it was opened, in one swap.
    ///
    /// Objects that the published state has are neither packed nor stored again. A push that comes
    /// in between is superseded like the state that was there at first: its objects are kept.
    ///
    /// - Throws: ``ImportError``, ``GitError`` or ``StoreError``. Unless that is
    ///   ``StoreError/undetermined(_:reason:)`` nothing was published.
    package func run(
        from source: ImportSource, into manifests: Manifests, git: GitProgram,
        state: StateDirectory, progress: Progress = .none
    ) throws -> Outcome {
        let head = try source.head(wish: defaultBranch)
        var made: ImportedPack?
        var opened: ImportWorkspace?
        var peeled: [RefName: ObjectID] = [:]
        return try Swap.repeated(
            attempts: Self.attempts,
            orThrow: ImportError.overtaken(repository, times: Self.attempts)
        ) {
            progress.begin("reading '\(repository)'")
            let resolution = try manifests.resolve(repository)
            let live = try published(resolution, source)
            if let live, live.refs == source.refs, live.head == head { return .upToDate }

            let workspace: ImportWorkspace
            if let opened {
                workspace = opened
            } else {
                workspace = try ImportWorkspace(
                    source, git: git, state: state, progress: progress)
                opened = workspace
                progress.begin("reading '\(source.path)'")
                peeled = try workspace.checkRefs()
            }
            let work: ImportedPack
            if let made, made.stillServes(live) {
                work = made
            } else {
                work = try ImportedPack(in: workspace, over: live, accepting: accepting)
                progress.begin("making a bitmap")
                work.makeSidecars(
                    tips: Set(source.refs.values), source.format, git: git, state: state)
                made = work
            }

            var manifest = Manifest(
                head: head, refs: source.refs, packs: work.packs(over: live),
                objectFormat: source.format)
            if manifest.needsPeeled { manifest.peeled = peeled }
            let size = work.pack?.pack.size
            progress.begin("storing \(Progress.bytes(size ?? 0))")
            let swap = Swap(of: repository, from: resolution.latest, in: manifests)
            FaultPoint.reach(.importPacked)
            return try swap.publish(manifest, with: work.writes).state.map {
                .published($0.digest, $0.manifest, packBytes: size)
            }
        }
    }

    /// The state that is published; nil: there is none.
    private func published(
        _ resolution: Snapshot.Resolution, _ source: ImportSource
    ) throws(ImportError) -> Manifest? {
        guard case .live(let snapshot) = resolution else { return nil }
        guard snapshot.manifest.objectFormat == source.format else {
            throw .otherFormat(
                repository, published: snapshot.manifest.objectFormat.rawValue,
                source: source.format.rawValue)
        }
        return snapshot.manifest
    }
}
