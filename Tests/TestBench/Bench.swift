import Bridge
package import Bytes
import Cache
package import Git
package import GitProtocol
import Glibc
package import Hydration
package import Logging
import Maintenance
package import ObjectStore
import Policy
package import Posix
package import Push
package import Repository
import Synchronization
package import TestSupport

/// A repository in a store in memory, and what it takes to push to it without a web server.
package final class Bench: Sendable {
    package let memory: MemoryStore
    /// The store in use: the memory, or something around it.
    package let store: any ObjectStore
    package let state: StateDirectory
    package let git: GitProgram
    package let repository: RepositoryName
    package let source: GitSource
    package let format: ObjectFormat
    /// Bytes kept between requests.
    package let cacheSize: Int64
    /// More than any test needs at once.
    private let slots = GitSlots(100)
    private let scratch: TemporaryDirectory

    package init(
        format: ObjectFormat = .sha1, cacheSize: Int64 = 0,
        around: (MemoryStore) -> any ObjectStore = { $0 }
    ) throws {
        // A hook that is gone must be an error of write(2).
        signal(SIGPIPE, SIG_IGN)
        memory = MemoryStore()
        store = around(memory)
        scratch = try TemporaryDirectory()
        state = try StateDirectory(path: scratch.path + "/state")
        guard let git = GitProgram(searching: String(cString: getenv("PATH"))),
            let repository = RepositoryName("owner/repo")
        else { throw TestFailure("git not found") }
        self.git = git
        self.repository = repository
        source = try GitSource(format: format.rawValue)
        self.format = format
        self.cacheSize = cacheSize
        _ = try Creation(
            repository: repository, defaultBranch: nil, objectFormat: format
        ).run(in: Manifests(memory))
        memory.resetCounts()
    }

    package var zero: String { ObjectID.zero(format).hex }

    package static var log: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }

    /// The real hook, which SwiftPM builds beside this process.
    package static var hook: String {
        get throws { try Programs.buildDirectory() + "/git-s3-backend-hook" }
    }

    /// The hydration of a process that starts now: with the cache on disk, and nothing in memory.
    package func hydration(
        hook: String? = nil, files: FileLink = .system, patience: Duration = .seconds(60)
    ) throws -> Hydration {
        Hydration(
            store: store,
            cache: LocalCache(
                in: state.path, size: cacheSize, files: files, patience: patience),
            state: state, git: git, hook: try hook ?? Self.hook)
    }

    /// The state now published, read past all faults.
    package func published() throws -> Snapshot {
        guard case .live(let snapshot) = try Manifests(memory).resolve(repository) else {
            throw TestFailure("the repository is gone")
        }
        return snapshot
    }

    /// A push of one new commit to `name`, made on top of the state published.
    package func onePush(_ content: String = Hex.random(), to name: String = "refs/heads/main")
        throws
        -> PushRequest
    {
        let old = try published().manifest.refs.first { $0.key.description == name }?.value.hex
        let commit = try source.commit(content, parent: old)
        return PushRequest(
            commands: [(old ?? zero, commit, name)],
            capabilities: "report-status side-band-64k object-format=\(format.rawValue)",
            pack: try source.pack([commit], without: old.map { [$0] } ?? []))
    }

    /// The answer to the hook.
    package enum Answering {
        case allow
        case deny
        case other(any PreReceiveBridge)
    }

    /// Receives a push in a fresh workspace of `snapshot`, or of the state published.
    package func receive(
        _ push: PushRequest, on snapshot: Snapshot? = nil, making new: Base? = nil,
        answering: Answering = .allow, hook: String? = nil, through hydration: Hydration? = nil,
        body: (any ByteStream)? = nil, deadline: Duration = .seconds(60),
        progress: (ArraySlice<UInt8>) -> Void = { _ in },
        prepare: (borrowing WriteWorkspace) throws -> Void = { _ in }
    ) throws -> Reception {
        var request = push.request[...]
        let reader = PktLineReader { count in
            defer { request = request.dropFirst(count) }
            return Array(request.prefix(count))
        }
        let commands = try PushCommands.read(from: reader)
        let hydration = try hydration ?? self.hydration(hook: hook)
        let workspace = try hydration.writeWorkspace(
            on: try new ?? .published(try snapshot ?? published()), log: Self.log, limits: .none)
        try prepare(workspace)
        return try ReceivedPush.receive(
            commands, body: body ?? MemoryStream(push.pack), in: workspace, git: git,
            client: Self.client, bridge: bridge(answering, commands),
            limits: .until(.now + deadline),
            progress: progress)
    }

    private func bridge(_ answering: Answering, _ commands: PushCommands) -> any PreReceiveBridge {
        switch answering {
        case .allow: rule("somebody", commands)
        case .deny: rule(nil, commands)
        case .other(let other): other
        }
    }

    private func rule(_ user: String?, _ commands: PushCommands) -> PolicyBridge {
        PolicyBridge(
            rule: AccessRule(), repository: repository, requester: Requester(user: user),
            asked: commands.commands.compactMap(\.update))
    }

    /// How a push ended, as values that outlive it.
    package enum Ending: Equatable {
        case unchanged(PushReport)
        case published(Digest, PushReport)
        case lost(PushReport)
        case refused(String)

        package var isPublished: Bool { if case .published = self { true } else { false } }

        package var digest: Digest? {
            if case .published(let digest, _) = self { digest } else { nil }
        }

        /// The report to the client.
        package var report: PushReport {
            switch self {
            case .unchanged(let report), .published(_, let report), .lost(let report): report
            case .refused: PushReport(unpackError: nil, rejected: [])
            }
        }
    }

    /// Receives and publishes.
    @discardableResult
    package func push(
        _ push: PushRequest, on snapshot: Snapshot? = nil, to target: (any ObjectStore)? = nil
    ) throws -> Ending {
        try settle(try receive(push, on: snapshot), to: target ?? store)
    }

    package func settle(_ reception: consuming Reception, to target: any ObjectStore) throws
        -> Ending
    {
        try settle(reception, to: Manifests(target))
    }

    package func settle(_ reception: consuming Reception, to manifests: Manifests) throws -> Ending
    {
        try settle(reception, in: PublicationQueue(of: repository, in: manifests), attempts: 1)
    }

    /// Publishes as the server does, and receives again as often as necessary.
    package func settle(
        _ reception: consuming Reception, in queue: PublicationQueue, attempts: Int = 5,
        answeringAgain: Answering = .allow
    ) throws -> Ending {
        let context = Push.Context(
            hydration: try hydration(), slots: slots, queue: queue, client: Self.client,
            limits: .init(attempts: attempts, gitTime: .seconds(60)), log: Self.log
        ) { _ in }
        let ending = try context.settle(
            reception, attempts: attempts, limits: .until(.now + .seconds(60)), hangup: nil,
            bridge: { bridge(answeringAgain, $0) }, progress: { _ in })
        switch consume ending {
        case .unchanged(let report): return .unchanged(report)
        case .refused(let reason): return .refused(reason)
        case .lost(let lost): return .lost(lost.report)
        case .published(let published):
            let digest = published.state.digest
            return .published(digest, published.release())
        }
    }

    package static var client: GitProgram.Client {
        GitProgram.Client(user: "somebody", address: "::1", protocolVersion: "")
    }

    /// Workspaces of this process that are still there.
    package func leftovers() throws -> [String] {
        let processes = state.path + "/workspaces"
        return try Files.names(in: processes).flatMap {
            try Files.names(in: processes + "/" + $0)
        }.filter { $0 != "lock" }
    }

    /// Reads the published repository as a stranger would, and has git check all of it.
    package func check() throws -> String {
        let workspace = try hydration().readWorkspace(try published(), log: Self.log, limits: .none)
        try Command.runGit(["fsck", "--full", "--strict", "--no-dangling"], in: workspace.path)
        return try Command.git(["show-ref", "-d"], in: workspace.path).run().line
    }
}
