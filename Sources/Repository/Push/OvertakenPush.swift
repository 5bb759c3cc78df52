package import GitProtocol
import Glibc
package import Logging
import ObjectStore
import Posix
import Synchronization

/// A push whose refs nobody moved, but which cannot be applied to the state that is published now
/// without asking git: packs were folded, say.
package struct OvertakenPush: ~Copyable {
    /// Holds the pack that was kept.
    private let workspace: Workspace
    private let winner: Snapshot
    /// Attempts to publish it that are left.
    package let attemptsLeft: Int
    /// What is to be received again.
    package let commands: PushCommands
    /// The refs of the push that were refused before.
    private let rejected: [PushReport.Rejection]
    private let pack: ReceivedPush.KeptPack?

    init(
        workspace: consuming Workspace, winner: Snapshot, attemptsLeft: Int,
        commands: PushCommands, rejected: [PushReport.Rejection], pack: ReceivedPush.KeptPack?
    ) {
        self.workspace = workspace
        self.winner = winner
        self.attemptsLeft = attemptsLeft
        self.commands = commands
        self.rejected = rejected
        self.pack = pack
    }

    /// Receives the push once more, on top of the state that it lost to, from the pack that was
    /// kept: that is complete, whatever the client's was.
    ///
    /// - Parameters:
    ///   - hydration: makes the workspace.
    ///   - hangup: hangs up when the client goes away; nil where nothing tells.
    /// - Throws: ``StoreError`` or ``RepositoryError``; nothing was published.
    package consuming func receive(
        with hydration: Hydration, client: GitProgram.Client, bridge: any PreReceiveBridge,
        deadline: ContinuousClock.Instant, hangup: Int32?, log: Logger,
        progress: (ArraySlice<UInt8>) throws -> Void
    ) throws -> Reception {
        let target = try hydration.writeWorkspace(winner, log: log)
        let path = try packPath(winner.manifest.objectFormat)
        let body = try local("read the pack of a push") { () throws(SystemError) in
            try PackBody(path, hangup: hangup)
        }
        return try ReceivedPush.receive(
            commands, body: body, in: target, git: hydration.git, client: client, bridge: bridge,
            deadline: deadline, rejected: rejected,
            stored: pack.map { [$0.pack.digest] } ?? [], progress: progress)
    }

    /// The file that git gets as the pack: where git kept none, the client's had no objects.
    private func packPath(_ format: ObjectFormat) throws(RepositoryError) -> String {
        guard commands.bringsPack else { return "/dev/null" }
        if case .file(let path, _, _) = pack?.pack { return path }
        let path = workspace.path + "/empty.pack"
        try local("write an empty pack") { () throws(SystemError) in
            try Files.write(Self.emptyPack(format), to: path)
        }
        return path
    }

    /// A pack without objects: version 2, their number, the hash of that. gitformat-pack(5).
    private static func emptyPack(_ format: ObjectFormat) -> [UInt8] {
        let head = Array("PACK".utf8) + [0, 0, 0, 2, 0, 0, 0, 0]
        var hash = MessageDigest(format == .sha1 ? .sha1 : .sha256)
        head.withUnsafeBytes { hash.update($0) }
        return head + hash.finish()
    }
}

/// A pack on this machine's disk as a request's body.
private final class PackBody: RequestBody {
    private let file: OwnedDescriptor
    let hangupDescriptor: Int32?
    private let isCancelled = Atomic<Bool>(false)

    init(_ path: String, hangup: Int32?) throws(SystemError) {
        file = try OwnedDescriptor.open(path, O_RDONLY)
        hangupDescriptor = hangup
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        if isCancelled.load(ordering: .relaxed) { throw RepositoryError.clientGone }
        return try local("read the pack of a push") { () throws(SystemError) in
            try readSome(file.raw, into: buffer)
        }
    }

    func cancel() { isCancelled.store(true, ordering: .relaxed) }
}
