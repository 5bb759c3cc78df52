import Bytes
import Cache
import Git
import GitProtocol
import Glibc
import Hydration
import Logging
import ObjectStore
import Posix
import Repository
import Synchronization

/// A push whose refs have not moved, but which git has to receive again on top of the currently
/// published state, for example because its packs were merged.
struct OvertakenPush: ~Copyable {
    /// Holds the pack that was kept.
    private let workspace: WriteWorkspace
    private let winner: Snapshot
    /// The remaining attempts to publish it.
    let attemptsLeft: Int
    /// The commands that are received again.
    let commands: PushCommands
    /// The refs of the push that were refused before.
    private let rejected: [PushReport.Rejection]
    private let pack: ReceivedPush.KeptPack?

    init(
        workspace: consuming WriteWorkspace, winner: Snapshot, attemptsLeft: Int,
        commands: PushCommands, rejected: [PushReport.Rejection], pack: ReceivedPush.KeptPack?
    ) {
        self.workspace = workspace
        self.winner = winner
        self.attemptsLeft = attemptsLeft
        self.commands = commands
        self.rejected = rejected
        self.pack = pack
    }

    /// Receives the push again, on top of the state that it lost to, from the pack that git kept: that
    /// is complete even if the client's was thin.
    ///
    /// - Parameters:
    ///   - hydration: creates the workspace.
    ///   - hangup: a descriptor that hangs up when the client goes away; nil if there is none.
    /// - Throws: ``StoreError``, ``PushError`` or ``GitError``; nothing was published.
    consuming func receive(
        with hydration: Hydration, client: GitProgram.Client, bridge: any PreReceiveBridge,
        limits: GitLimits, hangup: Int32?, log: Logger,
        progress: (ArraySlice<UInt8>) throws -> Void
    ) throws -> Reception {
        // Its file must exist until git has read it.
        defer { _ = workspace.path }
        let target = try hydration.writeWorkspace(
            on: .published(winner), log: log, limits: limits)
        let body = try packBody(winner.manifest.objectFormat, hangup: hangup)
        return try ReceivedPush.receive(
            commands, body: body, in: target, git: hydration.git, client: client, bridge: bridge,
            limits: limits, rejected: rejected,
            stored: pack.map { [$0.pack.digest] } ?? [], progress: progress)
    }

    /// The pack for git. If git kept none, the client's had no objects.
    private func packBody(
        _ format: ObjectFormat, hangup: Int32?
    ) throws -> any ByteStream {
        guard commands.bringsPack else { return MemoryBody([], hangup: hangup) }
        guard let pack else { return MemoryBody(Self.emptyPack(format), hangup: hangup) }
        return try KeptPackBody(pack, hangup: hangup)
    }

    /// A pack without objects: version 2, their number, and the hash. gitformat-pack(5).
    private static func emptyPack(_ format: ObjectFormat) -> [UInt8] {
        let head = Array("PACK".utf8) + [0, 0, 0, 2, 0, 0, 0, 0]
        var hash = MessageDigest(format == .sha1 ? .sha1 : .sha256)
        head.withUnsafeBytes { hash.update($0) }
        return head + hash.finish()
    }
}

/// A kept pack as a request's body. It ends properly only if every byte is as it was when the pack
/// was verified. Read by one thread, the feeder of git.
private final class KeptPackBody: ByteStream, @unchecked Sendable {
    private let file: OwnedDescriptor
    private let path: String
    private let expected: Digest
    let hangupDescriptor: Int32?
    private let isCancelled = Atomic<Bool>(false)
    /// nil once the end was reached.
    private var hash: SHA256? = SHA256()

    init(_ pack: ReceivedPush.KeptPack, hangup: Int32?) throws {
        file = try OwnedDescriptor.open(pack.path, O_RDONLY)
        path = pack.path
        expected = pack.pack.digest
        hangupDescriptor = hangup
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        if isCancelled.load(ordering: .relaxed) { throw GitError.clientGone }
        let count = try readSome(file.raw, into: buffer)
        if count > 0 {
            hash?.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        } else if let digest = hash.take()?.finish(), digest != expected {
            throw PushError.unproven("'\(path)' changed: its SHA-256 is \(digest)")
        }
        return count
    }

    func cancel() { isCancelled.store(true, ordering: .relaxed) }
}

/// A few bytes as a request's body.
private final class MemoryBody: ByteStream {
    private let rest: Mutex<ArraySlice<UInt8>>
    let hangupDescriptor: Int32?

    init(_ bytes: [UInt8], hangup: Int32?) {
        rest = Mutex(bytes[...])
        hangupDescriptor = hangup
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        rest.withLock { rest in
            let taken = rest.prefix(buffer.count)
            buffer.copyBytes(from: taken)
            rest = rest.dropFirst(taken.count)
            return taken.count
        }
    }

    func cancel() {}
}
