import Bytes
package import Git
import Glibc
package import Hydration
package import ObjectStore
import Posix
import Repository

/// The repair of a repository: every object that its published state needs is read, and good copies
/// replace damaged and missing ones.
///
/// The pointer is read once. A state that is published in the meantime does no harm: objects are
/// immutable, and those that it shares with this one are repaired for both.
package struct Repair {
    /// Whether anything is written.
    package enum Mode: Sendable { case check, repair }

    package let repository: RepositoryName
    let hydration: Hydration
    let copies: GoodCopies
    let mode: Mode
    let progress: Progress
    private let report: (RepairFinding) -> Void

    /// - Parameters:
    ///   - hydration: has the store, and room for all packs of the repository.
    ///   - report: called with each finding once its remedy is known.
    package init(
        of repository: RepositoryName, with hydration: Hydration, copies: GoodCopies, mode: Mode,
        progress: Progress = .none, report: @escaping (RepairFinding) -> Void = { _ in }
    ) {
        self.repository = repository
        self.hydration = hydration
        self.copies = copies
        self.mode = mode
        self.progress = progress
        self.report = report
    }

    var store: any ObjectStore { hydration.store }

    /// Checks the repository, and repairs it if the mode says so.
    ///
    /// - Throws: ``StoreError`` if the store does not answer, which says nothing about the object;
    ///   ``LifecycleError/absent(_:location:)`` and ``LifecycleError/deleted(_:last:)``;
    ///   ``RepositoryError``.
    package func run() throws -> RepairOutcome {
        guard let pointer = try store.readPointer(of: repository) else {
            throw LifecycleError.absent(repository, location: store.location)
        }
        var outcome = RepairOutcome()
        guard let manifest = try checkManifest(pointer.digest, &outcome) else { return outcome }
        if manifest.kind == .tombstone {
            throw LifecycleError.deleted(repository, last: manifest.parent)
        }
        let workspace = try hydration.empty(head: manifest.head, manifest.objectFormat)
        var lost: Set<Digest> = []
        for pack in manifest.packs.sorted(by: { $0.hex < $1.hex }) {
            if try !checkPack(pack, of: manifest, in: workspace, &outcome) { lost.insert(pack) }
        }
        progress.begin("checking what the refs need")
        let incomplete = try Reach(git: hydration.git, manifest: manifest)
            .incompleteRefs(in: workspace)
        outcome.incompleteRefs = incomplete
        if !lost.isEmpty {
            outcome.earlierState = earlierState(than: manifest, needingNoneOf: lost)
        }
        return outcome
    }

    /// Adds a finding to the outcome, and reports it.
    func note(_ finding: RepairFinding, _ outcome: inout RepairOutcome) {
        outcome.findings.append(finding)
        report(finding)
    }

    /// The largest number of earlier states that are read.
    private static let statesSearched = 1000

    private func earlierState(
        than manifest: Manifest, needingNoneOf lost: Set<Digest>
    ) -> Digest? {
        var next = manifest.parent
        for _ in 0..<Self.statesSearched {
            // An unreadable state cannot be restored, and hides the earlier ones.
            guard let digest = next,
                let state = try? hydration.manifests.manifest(digest, of: repository)
            else { return nil }
            if state.kind == .live, state.packs.isDisjoint(with: lost) { return digest }
            next = state.parent
        }
        return nil
    }
}

// MARK: The manifest

extension Repair {
    /// - Returns: the manifest, read or from a good copy; nil if it is lost.
    private func checkManifest(
        _ digest: Digest, _ outcome: inout RepairOutcome
    ) throws -> Manifest? {
        let key = ObjectKey.manifest(digest)
        progress.begin("reading '\(key)'")
        outcome.objects += 1
        let bytes: [UInt8]
        let condition = try look(at: key, digest, into: .nowhere)
        if let fault = condition.fault {
            guard let copy = copies.copy(of: digest, .manifest, progress: progress),
                // Another process may have removed it since it was found.
                let read = try? Files.read(copy, limit: Manifest.maximumSize),
                Digest(of: read) == digest
            else {
                note(.init(key: key, fault, .none(reason: Self.noCopy)), &outcome)
                return nil
            }
            bytes = read
            let remedy = try rewrite(
                .manifest(.bytes(bytes)), at: key, digest, condition, from: copy)
            note(.init(key: key, fault, remedy), &outcome)
        } else {
            bytes = try store.getVerified(key, digest: digest, limit: Manifest.maximumSize)
        }
        do {
            return try Manifest(parsing: bytes)
        } catch {
            throw RepositoryError.damaged(repository, reason: "'\(key)': \(error)")
        }
    }
}

extension RepairFinding {
    /// A finding about an object that reading and pushing need.
    init(key: ObjectKey, _ fault: Fault, _ remedy: Remedy, isNeeded: Bool = true) {
        self.init(key: key, fault: fault, remedy: remedy, isNeeded: isNeeded)
    }
}
