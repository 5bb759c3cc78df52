package import Bytes
package import Git
package import GitProtocol
package import ObjectStore
package import Repository

/// Publishes a local repository, replacing whatever is published under a name.
package struct Import: Sendable {
    package let repository: RepositoryName
    /// The branch that HEAD will point to; nil for that of the source.
    package let defaultBranch: RefName?
    /// The messages of git's checks, git-fsck(1), that are ignored.
    package let accepting: [String]

    /// The number of swaps that are tried.
    private static let attempts = 5

    package init(
        repository: RepositoryName, defaultBranch: RefName? = nil, accepting: [String] = []
    ) {
        self.repository = repository
        self.defaultBranch = defaultBranch
        self.accepting = accepting
    }

    /// The result of an import.
    package enum Outcome: Sendable {
        /// The published state has the same refs and HEAD; nothing was written.
        case upToDate
        /// The new state, and the size in bytes of the pack that was stored for it; nil if it
        /// needed none.
        case published(Digest, Manifest, packBytes: Int64?)
    }

    /// Imports a source, in the state in which it was opened, in one swap.
    ///
    /// Objects of the published state are neither packed nor stored again. A concurrent push is
    /// superseded like the state before it; its objects are kept.
    ///
    /// - Throws: ``ImportError``, ``GitError`` or ``StoreError``. Except for
    ///   ``StoreError/undetermined(_:reason:)``, nothing was published.
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

    /// The published state; nil if there is none.
    private func published(
        _ resolution: Snapshot.Resolution, _ source: ImportSource
    ) throws -> Manifest? {
        guard case .live(let snapshot) = resolution else { return nil }
        guard snapshot.manifest.objectFormat == source.format else {
            throw ImportError.otherFormat(
                repository, published: snapshot.manifest.objectFormat.rawValue,
                source: source.format.rawValue)
        }
        return snapshot.manifest
    }
}
