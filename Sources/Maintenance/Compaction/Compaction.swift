package import Bytes
import Cache
import Git
import GitProtocol
package import Hydration
package import Logging
package import ObjectStore
package import Posix
import Repository

/// Merges the packs of one repository into few, and writes the derived files of the largest one.
///
/// It drops no object, changes no ref, and deletes no pack. It publishes by the same swap as a
/// push, and gives precedence to any push.
package struct Compaction: Sendable {
    package let repository: RepositoryName
    private let hydration: Hydration
    private let scope: FoldPlan.Scope
    private let cancellation: Cancellation

    package init(
        of repository: RepositoryName, with hydration: Hydration,
        scope: FoldPlan.Scope = .geometric, cancellation: Cancellation = Cancellation()
    ) {
        self.repository = repository
        self.hydration = hydration
        self.scope = scope
        self.cancellation = cancellation
    }

    /// The result of a compaction.
    package enum Outcome: Equatable, Sendable {
        case compacted(Result)
        /// Only derived files of the largest pack were missing.
        case madeSidecars
        case nothingToDo(packs: Int)
        /// Other writers published too often, or merged the same packs; nothing changed.
        case gaveWay
        /// The repository does not exist.
        case notThere
    }

    /// A published compaction.
    package struct Result: Equatable, Sendable {
        package let digest: Digest
        /// The new pack.
        package let pack: Digest
        package let packsBefore: Int
        package let packsAfter: Int
        /// The number of objects in the new pack.
        package let objects: Int
        /// The sidecars of the new pack.
        package let bytes: Int64
    }

    /// The work that a repository needs.
    package enum Need: Equatable, Sendable {
        case fold(packs: Int, of: Int)
        case sidecars
        case nothing(packs: Int)
        /// An index is missing, and must be generated first.
        case unknown
        case notThere
    }

    /// Determines the necessary work from the packs' indexes alone.
    ///
    /// - Throws: ``StoreError`` or ``RepositoryError``.
    package func survey() throws -> Need {
        guard case .live(let base) = try hydration.manifests.resolve(repository) else {
            return .notThere
        }
        return try survey(base)
    }

    /// Performs the necessary work.
    ///
    /// - Throws: ``StoreError``, ``RepositoryError``, ``Fold/Mismatch``,
    ///   ``Cancellation/Cancelled``. If the outcome of the swap is unknown, the compaction may
    ///   have been published; no object is lost either way.
    package func run(log: Logger) throws -> Outcome {
        try cancellation.check()
        guard case .live(let base) = try hydration.manifests.resolve(repository) else {
            return .notThere
        }
        if base.manifest.packs.count <= FoldPlan.longestProgression,
            case .nothing(let packs) = try survey(base)
        {
            return .nothingToDo(packs: packs)
        }
        try cancellation.check()
        let hydrated = try hydration.readWorkspace(
            base, log: log, limits: .cancellable(by: cancellation))
        let directory = hydrated.packDirectory
        let packs = base.manifest.packs.map { ($0, "\(directory)/pack-\($0.hex).idx") }
        guard let objects = try count(packs, base.manifest.objectFormat) else {
            throw RepositoryError.damaged(repository, reason: "a pack's index cannot be read")
        }
        let plan = FoldPlan(objects, scope)
        if plan.folded.isEmpty {
            guard let largest = plan.kept.first, try lacksSidecars(largest, objects),
                makeSidecars(
                    of: largest, at: "\(directory)/pack-\(largest.hex)", base,
                    in: hydrated.workspace,
                    log)
                    != nil
            else { return .nothingToDo(packs: base.manifest.packs.count) }
            return .madeSidecars
        }

        let fold = try fold(plan.folded, base.manifest.objectFormat, in: hydrated)
        FaultPoint.reach(.compactionFolded)
        try cancellation.check()
        let digest = fold.pack.digest
        try hydration.store.write([.pack(fold.pack), .packIndex(of: digest, fold.index)])
        var sidecars: Sidecars?
        if let largest = plan.kept.first {
            if try lacksSidecars(largest, objects) {
                makeSidecars(
                    of: largest, at: "\(directory)/pack-\(largest.hex)", base,
                    in: hydrated.workspace,
                    log)
            }
        } else if fold.objects >= SidecarMaker.leastObjects {
            sidecars = makeSidecars(
                of: digest, at: fold.base, base, in: hydrated.workspace,
                log)
        }
        FaultPoint.reach(.compactionStored)
        var state = base.manifest
        if state.peeled == nil, state.needsPeeled {
            state.peeled = try WorkspaceRefs.read(
                from: hydrated.workspace, git: hydration.git,
                limits: .cancellable(by: cancellation)
            ).peeled
        }
        let outcome = try publish(fold, instead: plan.folded, of: state, on: base)
        if case .compacted = outcome {
            keep(fold, with: sidecars)
        }
        return outcome
    }

    private func fold(
        _ packs: Set<Digest>, _ format: ObjectFormat, in hydrated: borrowing HydratedWorkspace
    ) throws -> Fold.Pack {
        do {
            return try Fold(
                git: hydration.git, cancellation: cancellation, format: format,
                state: hydration.state
            )
            .run(packs, in: hydrated.workspace)
        } catch {
            // The local copy may be damaged.
            if !cancellation.isWanted { hydrated.doubtPacks() }
            throw error
        }
    }

    /// The next request needs the published pack, which is already on this machine.
    private func keep(_ fold: Fold.Pack, with sidecars: consuming Sidecars?) {
        guard let sidecars else { return hydration.keep(fold.pack, index: fold.index) }
        hydration.keep(
            fold.pack, index: fold.index, bitmap: sidecars.bitmap, commitGraph: sidecars.graph)
    }
}

// MARK: Publishing

extension Compaction {
    /// The largest number of swaps that are tried.
    private static let attempts = 5

    /// Publishes the state with the new pack in place of those that were merged. If another writer
    /// came first, the same is applied to its state, provided that it still contains all of those
    /// packs.
    private func publish(
        _ fold: Fold.Pack, instead folded: Set<Digest>, of manifest: Manifest,
        on first: Snapshot
    ) throws -> Outcome {
        let manifests = hydration.manifests
        var base = first
        var state = manifest
        for attempt in 1...Self.attempts {
            if attempt > 1 { manifests.store.retryPolicy.pause(before: attempt - 1) }
            try cancellation.check()
            state.packs.subtract(folded)
            state.packs.insert(fold.pack.digest)
            switch try Swap(of: repository, from: base, in: manifests).publish(state) {
            case .won(let published):
                FaultPoint.reach(.compactionSwapped)
                return .compacted(
                    Result(
                        digest: published.digest, pack: fold.pack.digest,
                        packsBefore: published.packsBefore,
                        packsAfter: published.manifest.packs.count, objects: fold.objects,
                        bytes: fold.pack.size))
            case .lost(let pointer):
                let winner = try manifests.manifest(pointer.digest, of: repository)
                guard winner.kind == .live, winner.packs.isSuperset(of: folded),
                    winner.objectFormat == first.manifest.objectFormat,
                    winner.peeled != nil || !winner.needsPeeled
                else { return .gaveWay }
                state = winner
                base = Snapshot(
                    repository: repository, etag: pointer.etag, digest: pointer.digest,
                    manifest: winner)
            }
        }
        return .gaveWay
    }
}

// MARK: Looking

extension Compaction {
    private func survey(_ base: Snapshot) throws -> Need {
        let packs = Array(base.manifest.packs)
        if packs.isEmpty { return .nothing(packs: 0) }
        let scratch = try Workspace.scratch(
            base.manifest.objectFormat, in: hydration.state)
        let indexes = packs.map { ($0, "\(scratch.packDirectory)/\($0.hex).idx") }
        let found = try hydration.store.download(
            indexes.map { Download(key: .packIndex($0), digest: nil, path: $1) })
        guard found.allSatisfy(\.self),
            let objects = try count(indexes, base.manifest.objectFormat)
        else { return .unknown }
        let plan = FoldPlan(objects, scope)
        if !plan.folded.isEmpty { return .fold(packs: plan.folded.count, of: packs.count) }
        if let largest = plan.kept.first, try lacksSidecars(largest, objects) { return .sidecars }
        return .nothing(packs: packs.count)
    }

    /// The number of objects of each pack; nil for an invalid index.
    private func count(
        _ indexes: [(pack: Digest, path: String)], _ format: ObjectFormat
    ) throws -> [Digest: Int]? {
        var counts: [Digest: Int] = [:]
        for (pack, path) in indexes {
            guard let objects = try PackIndex(path, format: format) else { return nil }
            counts[pack] = objects.count
        }
        return counts
    }

    /// Whether a pack is large enough for sidecars, and the bucket lacks one of them.
    private func lacksSidecars(_ pack: Digest, _ objects: [Digest: Int]) throws -> Bool {
        guard let count = objects[pack], count >= SidecarMaker.leastObjects else { return false }
        let answers = hydration.store.perform([.head(.packBitmap(pack)), .head(.commitGraph(pack))])
        return try answers.contains { answer in
            if case .absent = try answer.get() { true } else { false }
        }
    }
}

// MARK: Sidecars

extension Compaction {
    /// Writes and stores a pack's sidecars. They are derived, so a failure is not an error.
    ///
    /// - Returns: nil if they were not stored.
    @discardableResult
    private func makeSidecars(
        of pack: Digest, at path: String, _ base: Snapshot, in workspace: borrowing Workspace,
        _ log: Logger
    ) -> Sidecars? {
        do {
            let maker = SidecarMaker(
                git: hydration.git, state: hydration.state, cancellation: cancellation)
            let tips = try tips(of: path, base, in: workspace)
            guard
                let sidecars = try maker.make(
                    forPack: path, tips: tips, format: base.manifest.objectFormat)
            else { return nil }
            try hydration.store.write(sidecars.writes(of: pack))
            hydration.cache?.packs.forgetAbsence(of: pack)
            return sidecars
        } catch {
            log.info(
                "no bitmap written",
                metadata: [
                    "repo.name": "\(repository)", "pack.digest": "\(pack)", "error": "\(error)",
                ])
            return nil
        }
    }

    /// The tips of the published history inside a pack: the objects of refs, and commits whose
    /// children are in other packs.
    private func tips(
        of path: String, _ base: Snapshot, in workspace: borrowing Workspace
    ) throws -> Set<ObjectID> {
        let manifest = base.manifest
        var tips = Set(manifest.refs.values).union((manifest.peeled ?? [:]).values)
        let objects = try PackIndex(path + ".idx", format: manifest.objectFormat)
        guard let objects else { return tips }
        let run = GitRun.packing(
            ["rev-list", "--all", "--parents"], to: "list commits", cancellation: cancellation)
        let ending = try hydration.git.lines(run, in: workspace) { line in
            let ids = line.split(separator: UInt8(ascii: " ")).compactMap { ObjectID($0) }
            guard let commit = ids.first, ids.count > 1, !objects.contains(commit) else { return }
            tips.formUnion(ids.dropFirst())
        }
        try ending.require()
        return tips
    }
}
