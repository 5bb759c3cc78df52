package import Bytes
import Git
import GitProtocol
import Glibc
package import Hydration
package import Maintenance
import ObjectStore
import Posix
import Push
import Repository
import TestSupport

extension Bench {
    package func compact(
        _ scope: FoldPlan.Scope = .geometric, in hydration: Hydration? = nil
    ) throws -> Compaction.Outcome {
        try Compaction(of: repository, with: try hydration ?? self.hydration(), scope: scope)
            .run(log: Self.log)
    }

    package func survey() throws -> Compaction.Need {
        try Compaction(of: repository, with: try hydration()).survey()
    }

    /// Every object of the published state, reachable or not.
    package func objects() throws -> Set<String> {
        let workspace = try hydration().readWorkspace(try published(), log: Self.log, limits: .none)
        let listed = try Command.runGit(
            ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"], in: workspace.path)
        return Set(listed.text.split(separator: "\n").map(String.init))
    }

    /// Pushes a history of small commits, each with a tree of two levels and a file, as one pack;
    /// that pack's digest.
    ///
    /// - Parameter parent: the commit that it continues; nil for a new branch.
    @discardableResult
    package func pushHistory(commits: Int, from parent: String? = nil) throws -> Digest {
        let before = try published().manifest.packs
        let branch = "refs/heads/history-\(Hex.random(bytes: 4))"
        let stream = (1...commits).map { number in
            let content = "\(branch) \(number)\n"
            return """
                commit \(branch)
                committer T <t@example.com> \(1_700_000_000 + number) +0000
                data 2
                c
                \(number == 1 ? parent.map { "from \($0)\n" } ?? "" : "")\
                M 100644 inline d\(number % 7)/f\(number)
                data \(content.utf8.count)
                \(content)

                """
        }
        try source.run(["fast-import", "--quiet"], input: Array(stream.joined().utf8))
        let tip = try source.run(["rev-parse", branch]).line
        try push(
            PushRequest(
                commands: [(zero, tip, branch)],
                capabilities: "report-status side-band-64k object-format=\(format.rawValue)",
                pack: try source.pack([tip], without: parent.map { [$0] } ?? [])))
        guard let pack = try published().manifest.packs.subtracting(before).first else {
            throw TestFailure("no pack came of the push")
        }
        return pack
    }

    /// Publishes the same state with more packs, as an import might, and without their indexes.
    package func publish(packs: [[UInt8]]) throws {
        let base = try published()
        var state = base.manifest
        state.packs.formUnion(packs.map { Digest(of: $0) })
        _ = try Swap(of: repository, from: base, in: Manifests(memory))
            .publish(state, with: packs.map { .pack(.bytes($0)) })
    }

    /// Publishes a tombstone.
    package func publishTombstone() throws {
        let base = try published()
        let tombstone = Manifest(
            kind: .tombstone, head: base.manifest.head, objectFormat: base.manifest.objectFormat)
        _ = try Swap(of: repository, from: base, in: Manifests(memory)).publish(tombstone)
    }

    /// The same with a git one of whose commands is a shell script.
    package func hydration(
        packingWith script: String, instead command: String = "pack-objects"
    ) throws -> Hydration {
        let directory = state.path + "/fake-\(Hex.random(bytes: 4))"
        try Files.makeDirectories(directory)
        try Files.write(
            Array(
                """
                #!/bin/sh
                case "$*" in *" \(command) "*) \(script); exit;; esac
                exec \(git.path) "$@"

                """.utf8), to: directory + "/git", mode: 0o700)
        guard let fake = GitProgram(searching: directory) else { throw TestFailure("no git") }
        return Hydration(store: store, state: state, git: fake, hook: try Self.hook)
    }
}
