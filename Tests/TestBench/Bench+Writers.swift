package import Bytes
import Git
package import GitProtocol
import Hydration
package import ObjectStore
import Posix
package import Push
package import Repository
import TestSupport

/// Writers other than pushes, as if from another process.
extension Bench {
    /// Publishes a changed state, past all faults.
    @discardableResult
    package func publish(
        on base: Snapshot? = nil, with writes: [ObjectWrite] = [],
        _ change: (inout Manifest) throws -> Void
    ) throws -> Digest {
        let base = try base ?? Manifests(memory).resolve(repository).latest
        var manifest = base?.manifest ?? Manifest(head: .main)
        try change(&manifest)
        let swap = Swap(of: repository, from: base, in: Manifests(memory))
        guard case .won(let state) = try swap.publish(manifest, with: writes) else {
            throw TestFailure("a swap was lost")
        }
        return state.digest
    }

    /// The fate of objects that no ref reaches.
    package enum Unreachable { case kept, dropped }

    /// Folds all packs into one, as a compaction does.
    package func fold(_ unreachable: Unreachable = .kept) throws {
        let base = try published()
        let workspace = try hydration().readWorkspace(base, log: Self.log, limits: .none)
        try Command.runGit(
            ["repack", "-q", "-a", "-d"] + (unreachable == .kept ? ["-k"] : []), in: workspace.path)
        let directory = workspace.path + "/objects/pack"
        let names = try Files.names(in: directory).filter { $0.hasSuffix(".pack") }
        let packs = try names.map { name in
            let base = "\(directory)/\(name.dropLast(5))"
            return (
                pack: try ObjectBody.file(hashing: base + ".pack"),
                index: try ObjectBody.file(hashing: base + ".idx")
            )
        }
        guard !base.manifest.packs.isSubset(of: packs.map(\.pack.digest)) else {
            throw TestFailure("there was nothing to fold")
        }
        try publish(
            on: base,
            with: packs.flatMap { [.pack($0.pack), .packIndex(of: $0.pack.digest, $0.index)] }
        ) { $0.packs = Set(packs.map(\.pack.digest)) }
    }

    /// Deletes the repository.
    package func delete() throws {
        try publish { $0 = Manifest(kind: .tombstone, head: $0.head) }
    }

    /// A queue of a process of its own.
    package func queue(_ target: (any ObjectStore)? = nil) -> PublicationQueue {
        PublicationQueue(of: repository, in: Manifests(target ?? store))
    }

    /// The refs that are published.
    package func ids() throws -> [String: String] {
        Dictionary(
            uniqueKeysWithValues: try published().manifest.refs.map {
                ($0.key.description, $0.value.hex)
            })
    }

    /// A push of one commit to several new refs.
    package func push(
        _ commit: String, to names: [String], capabilities: String = "report-status"
    ) throws -> PushRequest {
        PushRequest(
            commands: names.map { (zero, commit, $0) }, capabilities: capabilities,
            pack: try source.pack([commit]))
    }
}

extension PushReport {
    /// The refs that it refuses, with the reasons.
    package var reasons: [String: String] {
        Dictionary(
            uniqueKeysWithValues: rejected.map {
                (
                    String(decoding: $0.rawName, as: UTF8.self),
                    String(decoding: $0.reason, as: UTF8.self)
                )
            })
    }

    package var acceptedNames: [String] { accepted.map { String(decoding: $0, as: UTF8.self) } }
}
