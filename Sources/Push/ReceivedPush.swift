package import Bytes
import Cache
package import Git
package import GitProtocol
package import Hydration
import ObjectStore
package import Posix
import Repository

/// A push that git and the bridge accepted in a workspace, to be published or dropped.
///
/// Only ``receive(_:body:in:git:client:bridge:limits:rejected:stored:progress:)`` creates one. It
/// proves that the workspace changed as the commands, git's report and the bridge agree.
package struct ReceivedPush: ~Copyable {
    /// Contains the pack until it is stored, and the state on which the push was received.
    let workspace: WriteWorkspace
    /// The commands that git received.
    let commands: PushCommands
    /// The next state, with the push.
    let manifest: Manifest
    /// The pack that receive-pack kept; nil if the push brought none.
    let pack: KeptPack?
    /// Packs that are stored already, with their indexes.
    let stored: Set<Digest>
    /// git's own report, withheld until the push is published.
    let report: PushReport

    /// The first refusal of a ref of the push, in a line; nil if there is none.
    var refusal: String? { report.refusal }

    /// The state on which the push was received, and on which its swap is predicated.
    var parent: Base { workspace.base }

    private init(
        workspace: consuming WriteWorkspace, commands: PushCommands, manifest: Manifest,
        pack: KeptPack?, stored: Set<Digest>, report: PushReport
    ) {
        self.workspace = workspace
        self.commands = commands
        self.manifest = manifest
        self.pack = pack
        self.stored = stored
        self.report = report
    }

    /// Runs `git receive-pack` in a write workspace and proves that its changes are those that the
    /// client requested, git reports, and the bridge allowed.
    ///
    /// - Parameters:
    ///   - rejected: refs of the push that were refused before, for the report.
    ///   - stored: packs that were stored when the push was received before.
    ///   - progress: called with band 2 of git's output, as it arrives.
    /// - Throws: ``PushError``, ``GitError`` and others; nothing has been stored.
    package static func receive(
        _ commands: PushCommands, body: any ByteStream, in target: consuming WriteWorkspace,
        git: GitProgram, client: GitProgram.Client, bridge: any PreReceiveBridge,
        limits: GitLimits, rejected: [PushReport.Rejection] = [],
        stored: Set<Digest> = [], progress: (ArraySlice<UInt8>) throws -> Void
    ) throws -> Reception {
        let parent = target.base
        let packDirectory = target.hydrated.packDirectory
        let hydrated = Set(try Files.names(in: packDirectory))

        let broken = try BrokenRefs(
            touchedBy: commands, in: target.hydrated.workspace, parent.manifest)
        try broken.hide(in: target.hydrated.workspace, parent.manifest)

        var output = ReceivePackOutput(sideBand: commands.capabilities.reporting.sideBand)
        let streamed = StreamedPack(body)
        let allowance = try BridgeRun(broken.bridge(to: bridge, commands))
        let run = GitRun(
            ["receive-pack", "--stateless-rpc", "."], to: "receive a push", limits: limits,
            input: .stream(streamed, after: broken.commandsForGit(commands).requestForGit),
            client: client, channel: allowance.hookEnd)
        let ending: GitEnding
        do {
            ending = try git.run(run, in: target.hydrated.workspace) {
                try output.take($0, progress: progress)
            }
        } catch {
            _ = allowance.finish()
            throw error
        }
        let allowed = allowance.finish()

        guard ending.succeeded else {
            target.hydrated.lookForTrouble()
            throw ending.failure
        }
        let report = try output.report()
        // git exits with 0 if it could not unpack or did not find objects, whatever the cause.
        target.hydrated.lookForTrouble(after: report)
        try BrokenRefs.explainRefusal(of: commands, report, in: target.hydrated.workspace, parent)
        var refs = try WorkspaceRefs.read(
            from: target.hydrated.workspace, git: git, limits: limits,
            knowing: PackedRefs(parent.manifest))
        try broken.restore(into: &refs, besides: report.accepted, parent.manifest)
        let outcome = try PushOutcome(
            commands: commands, report: report, allowed: allowed, parent: parent.manifest,
            refs: refs)
        try checkUntouched(target.hydrated.workspace, parent.manifest)
        let whole = report.rejecting(rejected)
        guard outcome.isChange else { return .unchanged(whole) }

        let pack = try keptPack(
            of: commands, streamed: streamed, in: target.hydrated.workspace, besides: hydrated,
            format: parent.manifest.objectFormat)
        var manifest = parent.manifest
        let accepted = Set(report.accepted)
        manifest.head = parent.head(
            after: commands.commands.filter { accepted.contains($0.rawName) }.compactMap(\.update))
        manifest.refs = refs.ids
        manifest.peeled = nil
        if manifest.needsPeeled || !refs.peeled.isEmpty { manifest.peeled = refs.peeled }
        manifest.parent = parent.digest
        if let pack { manifest.packs.insert(pack.pack.digest) }
        return .received(
            ReceivedPush(
                workspace: target, commands: commands, manifest: manifest, pack: pack,
                stored: stored, report: whole))
    }

    /// Checks that HEAD is unchanged and that the push added no shallow boundary, which git does not do
    /// while `receive.shallowUpdate` is off. HEAD comes last because it must exist: a workspace
    /// that has vanished proves nothing.
    private static func checkUntouched(
        _ workspace: borrowing Workspace, _ manifest: Manifest
    ) throws {
        let path = workspace.path
        let shallow = try Files.size(of: path + "/shallow")
        if let shallow, shallow > 0 {
            throw PushError.unproven("it came from a shallow repository")
        }
        let head = try Files.read(path + "/HEAD", limit: 1 << 16)
        guard head == Array("ref: ".utf8) + manifest.head.bytes + [UInt8(ascii: "\n")] else {
            throw PushError.unproven("HEAD changed")
        }
    }
}

/// The output of receive-pack: its report, which is withheld, and with side-band its progress.
struct ReceivePackOutput {
    private let sideBand: PushReporting.SideBand
    private var splitter = BandSplitter()
    private var reportBytes: [UInt8] = []
    private var fatal: [UInt8] = []

    /// The largest report, in bytes; it has a line for each ref.
    private static let maximumReport = 128 << 20

    init(sideBand: PushReporting.SideBand) {
        self.sideBand = sideBand
    }

    /// Processes the next bytes of git's output.
    mutating func take(
        _ bytes: UnsafeRawBufferPointer, progress: (ArraySlice<UInt8>) throws -> Void
    ) throws {
        switch sideBand {
        case .none:
            reportBytes.append(contentsOf: bytes)
        case .sideBand64k:
            var report: [UInt8] = []
            var fatal: [UInt8] = []
            try splitter.split(bytes) { band, payload in
                switch band {
                case .data: report += payload
                case .progress: try progress(payload)
                case .error: fatal += payload
                }
            }
            reportBytes += report
            self.fatal += fatal
        }
        if reportBytes.count > Self.maximumReport {
            throw ProtocolError.badReport("it is too long")
        }
    }

    /// The report, after git has ended.
    func report() throws -> PushReport {
        if !fatal.isEmpty {
            throw GitError.failed(
                step: "receive a push", reason: String(decoding: fatal, as: UTF8.self))
        }
        if sideBand == .sideBand64k, !splitter.hasEnded {
            throw ProtocolError.badReport("its side-band stream has no end")
        }
        return try PushReport(parsing: reportBytes)
    }
}

/// The proof that the refs that differ are exactly those that git reports `ok`, that the client
/// requested each of them, and that the bridge allowed it.
struct PushOutcome {
    /// Whether any ref differs from the parent's.
    let isChange: Bool

    init(
        commands: PushCommands, report: PushReport, allowed: [RefUpdate]?, parent: Manifest,
        refs: WorkspaceRefs
    ) throws {
        isChange = refs.ids != parent.refs
        if let error = report.unpackError {
            if isChange {
                throw PushError.unproven("git could not unpack (\(error)), but refs changed")
            }
            guard report.accepted.isEmpty else {
                throw PushError.unproven("git could not unpack (\(error)), but reports ok")
            }
            return
        }
        var expected = parent.refs
        let asked = Dictionary(
            commands.commands.map { ($0.rawName, $0) }, uniquingKeysWith: { first, _ in first })
        let allowed = Set(allowed ?? [])
        for name in report.accepted {
            guard let update = asked[name]?.update else {
                throw PushError.unproven("git reports a ref that was not pushed")
            }
            guard allowed.contains(update) else {
                throw PushError.unproven("the bridge did not allow the update of '\(update.name)'")
            }
            let current = parent.refs[update.name] ?? .zero(update.old.format)
            guard current == update.old || current == update.new else {
                throw PushError.unproven(
                    "'\(update.name)' had another value than the push expects")
            }
            expected[update.name] = update.new.isZero ? nil : update.new
        }
        guard refs.ids == expected else {
            throw PushError.unproven("the refs that changed are not those that git reports")
        }
    }
}
