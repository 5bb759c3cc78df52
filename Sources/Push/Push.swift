package import Git
package import GitProtocol
package import Hydration
package import Logging
package import ObjectStore
package import Posix
package import Repository

/// A push to a repository, from its commands to its end.
///
/// Used by one thread.
package struct Push {
    private let commands: PushCommands
    private let base: Base
    private let verdict: PushCheck.Verdict
    private let context: Context

    /// The surroundings of a push.
    package struct Context {
        let hydration: Hydration
        let slots: GitSlots
        let queue: PublicationQueue
        let client: GitProgram.Client
        let limits: Limits
        let log: Logger
        let mark: (Phase) -> Void

        /// - Parameters:
        ///   - queue: the queue of the repository.
        ///   - mark: called at the end of each phase.
        package init(
            hydration: Hydration, slots: GitSlots, queue: PublicationQueue,
            client: GitProgram.Client, limits: Limits, log: Logger,
            mark: @escaping (Phase) -> Void
        ) {
            self.hydration = hydration
            self.slots = slots
            self.queue = queue
            self.client = client
            self.limits = limits
            self.log = log
            self.mark = mark
        }
    }

    /// The limits of one push.
    package struct Limits: Sendable {
        /// The number of swaps that are tried, and of times that the push is received.
        let attempts: Int
        /// The time limit for git, however often the push is received; waiting for a slot does not
        /// count.
        let gitTime: Duration

        package init(attempts: Int, gitTime: Duration) {
            self.attempts = attempts
            self.gitTime = gitTime
        }
    }

    /// A part of a push, for measuring times.
    package enum Phase: Sendable {
        /// Waiting for a git process to be free.
        case slot
        /// Creating the repository for git.
        case hydrated
        /// git, at the client's speed.
        case git
        /// Storing new objects and swapping the pointer.
        case swapped
    }

    /// Checks the commands of a push to a name.
    ///
    /// - Throws: ``ProtocolError`` if the ids are not in the repository's object format.
    package init(
        _ commands: PushCommands, to name: RepositoryName, on resolution: Snapshot.Resolution,
        in context: Context
    ) throws {
        self.commands = commands
        self.context = context
        base = Base(of: commands, to: name, resolution)
        verdict = try PushCheck(base.manifest).verdict(on: commands)
    }

    /// The report of a push that is refused without running git; nil if git has to decide.
    package var refusal: PushReport? {
        if case .refuse(let report) = verdict { report } else { nil }
    }

    /// Receives and publishes the push.
    ///
    /// - Parameters:
    ///   - body: the request's body after the commands.
    ///   - bridge: answers git's hook about those of the commands that git receives.
    ///   - progress: called with band 2 of git's output, as it arrives.
    /// - Throws: ``StoreError/undetermined(_:reason:)`` if the push may have been published; after any
    ///   other error it has not.
    package func run(
        _ body: any ByteStream, bridge: (PushCommands) -> any PreReceiveBridge,
        progress: (ArraySlice<UInt8>) throws -> Void
    ) throws -> PushEnding {
        switch verdict {
        case .refuse(let report):
            return .unchanged(report)
        case .receive(let refused):
            // A slow store must not delay other repositories.
            var early: WriteWorkspace?
            if context.hydration.fillsCache(for: base.manifest) {
                early = try hydrate(context.newLimits)
            }
            let limits: GitLimits
            let reception: Reception
            do {
                let slot = try context.slots.take(
                    for: context.client, hangup: body.hangupDescriptor)
                defer { _ = slot }
                context.mark(.slot)
                limits = context.newLimits
                reception = try receive(
                    body, in: early.take() ?? hydrate(limits), except: refused, limits: limits,
                    bridge: bridge, progress: progress)
            }
            return try context.settle(
                reception, attempts: context.limits.attempts, limits: limits,
                hangup: body.hangupDescriptor, bridge: bridge, progress: progress)
        }
    }

    private func hydrate(_ limits: GitLimits) throws -> WriteWorkspace {
        let workspace = try context.hydration.writeWorkspace(
            on: base, log: context.log, limits: limits)
        context.mark(.hydrated)
        return workspace
    }

    /// Receives the push in a workspace.
    ///
    /// - Parameter refused: the refs that git does not receive.
    private func receive(
        _ body: any ByteStream, in workspace: consuming WriteWorkspace,
        except refused: [PushReport.Rejection], limits: GitLimits,
        bridge: (PushCommands) -> any PreReceiveBridge,
        progress: (ArraySlice<UInt8>) throws -> Void
    ) throws -> Reception {
        FaultPoint.reach(.pushHydrated)
        defer { context.mark(.git) }
        let commands = commands.without(Set(refused.map(\.rawName)))
        return try ReceivedPush.receive(
            commands, body: body, in: workspace, git: context.hydration.git,
            client: context.client, bridge: bridge(commands), limits: limits, rejected: refused,
            progress: progress)
    }
}

extension Push.Context {
    /// The limits of a git that starts now.
    fileprivate var newLimits: GitLimits { .until(.now + limits.gitTime) }

    /// Publishes a push that was received, and receives it again as often as necessary.
    ///
    /// - Parameters:
    ///   - attempts: the number of swaps that may be tried.
    ///   - limits: those of git, if it has to run again.
    ///   - hangup: a descriptor that hangs up when the client goes away; nil if there is none.
    package func settle(
        _ reception: consuming Reception, attempts: Int, limits: GitLimits, hangup: Int32?,
        bridge: (PushCommands) -> any PreReceiveBridge,
        progress: (ArraySlice<UInt8>) throws -> Void
    ) throws -> PushEnding {
        switch consume reception {
        case .unchanged(let report):
            return .unchanged(report)
        case .received(let received):
            // Without a report the client would not learn which part was published.
            if received.commands.capabilities.reporting.report == .unwanted,
                let refusal = received.refusal
            {
                return .refused(refusal)
            }
            let publication = try received.publish(in: queue, attempts: attempts)
            mark(.swapped)
            switch consume publication {
            case .published(let published):
                return .published(published)
            case .lost(let lost):
                return .lost(lost)
            case .overtaken(let overtaken):
                let attemptsLeft = overtaken.attemptsLeft
                var limits = limits
                let again = try receive(
                    again: overtaken, limits: &limits, hangup: hangup, bridge: bridge,
                    progress: progress)
                return try settle(
                    again, attempts: attemptsLeft, limits: limits, hangup: hangup, bridge: bridge,
                    progress: progress)
            }
        }
    }

    /// Receives a push again, from the pack that was kept, on top of the state that it lost to.
    private func receive(
        again overtaken: consuming OvertakenPush, limits: inout GitLimits, hangup: Int32?,
        bridge: (PushCommands) -> any PreReceiveBridge,
        progress: (ArraySlice<UInt8>) throws -> Void
    ) throws -> Reception {
        let start = ContinuousClock.now
        let slot = try slots.take(for: client, hangup: hangup)
        defer { _ = slot }
        limits.extend(by: .now - start)
        mark(.slot)

        log.info("retrying push on top of a concurrent one")
        defer { mark(.git) }
        let bridge = bridge(overtaken.commands)
        return try overtaken.receive(
            with: hydration, client: client, bridge: bridge, limits: limits,
            hangup: hangup, log: log, progress: progress)
    }
}

extension Base {
    /// The base of a push to a resolved name. A new repository gets the object format that the
    /// client specifies.
    fileprivate init(
        of commands: PushCommands, to name: RepositoryName, _ resolution: Snapshot.Resolution
    ) {
        if case .live(let snapshot) = resolution {
            self = .published(snapshot)
            return
        }
        let named = commands.capabilities.value(of: "object-format") ?? []
        self = .nothing(
            of: name, after: resolution.latest,
            ObjectFormat(rawValue: String(decoding: named, as: UTF8.self)) ?? .sha1)
    }
}
