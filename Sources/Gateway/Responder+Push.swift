import GitProtocol
import Logging
import ObjectStore
import Policy
import Repository

extension Responder {
    /// Bytes; git's `http.postBuffer`, up to which it sends a push with its length and at once.
    private static let pushReadAhead: Int64 = 1 << 20

    /// A push on its way.
    private struct Push: Sendable {
        let request: Request
        let requester: Requester
        let repository: RepositoryName
        let commands: PushCommands
        /// The commands that are refused before git is asked.
        let refused: [PushReport.Rejection]
        let body: Body
        let answer: PushAnswer
        /// When git must be done with it, however often it is received.
        let deadline: ContinuousClock.Instant
        let queue: PublicationQueue
        let log: Logger
    }

    /// `git-receive-pack`: a push.
    func push(
        to name: RepositoryName, _ request: Request, _ connection: any Connection,
        _ response: Response, _ log: Logger
    ) throws {
        let requester = Requester(user: request.user)
        let verdict = rule.write(name, by: requester)
        if try isProbe(request, on: connection, verdict) {
            return try response.begin(type: PushAnswer.type)
        }
        try authorize(verdict)
        connection.allow(.push)
        let body = try Body(
            of: request, from: connection, limit: limits.body, deadline: deadline,
            framing: .commandsAndPack)
        let resolution = try Snapshot.resolve(name, in: store)
        switch resolution {
        case .live: break
        case .absent, .deleted:
            if limits.pushToNothing == .isNotFound { throw RequestError.notFound }
        }
        guard
            let commands = try PushCommands.read(from: PktLineReader { try body.read(exactly: $0) })
        else {
            try response.begin(type: PushAnswer.type)
            return
        }
        FaultPoint.reach(.pushStarted)

        let answer = PushAnswer(
            response, reporting: commands.capabilities.reporting, keepAlive: limits.pushKeepAlive)
        let parent = PushParent(of: commands, to: name, resolution)
        let check = PushCheck(parent.manifest)
        if let refusal = try check.refusal(of: commands) {
            connection.drain()
            return try answer.finish(unpublished: refusal)
        }
        body.onEnd = { answer.arm() }
        let push = Push(
            request: request, requester: requester, repository: name, commands: commands,
            refused: check.stale(in: commands), body: body, answer: answer, deadline: deadline,
            queue: queues.queue(of: name), log: log)
        do {
            let reception = try receive(push, on: parent)
            try settle(push, reception, attempts: limits.pushAttempts)
        } catch {
            // Whatever has to be told, the keep-alives must not write into it.
            guard answer.stop() else { throw error }
            let told = ErrorTable.answer(to: error)
            record(error, told, log)
            try answer.finish(failing: commands, told.text)
        }
        FaultPoint.reach(.pushAnswered)
    }

    /// Receives a push in a workspace, holding a slot only as long as git runs.
    private func receive(_ push: Push, on parent: PushParent) throws -> Reception {
        // A small push is sent whole: with its body in, hydrating a large repository for it can be
        // bridged by keep-alives, and no slow client holds a slot.
        if case .known(let length) = push.request.contentLength, length <= Self.pushReadAhead {
            try push.body.readAhead(Int(Self.pushReadAhead))
        }
        let slot = try slots.take()
        defer { _ = slot }

        let workspace = try hydration.writeWorkspace(on: parent, log: push.log)
        FaultPoint.reach(.pushHydrated)
        let commands = push.commands.without(Set(push.refused.map(\.rawName)))
        return try ReceivedPush.receive(
            commands, body: push.body, in: workspace, git: git,
            client: client(of: push.request), bridge: bridge(for: push, commands),
            deadline: push.deadline, rejected: push.refused
        ) { try push.answer.progress($0) }
    }

    /// Receives a push again, from the pack that was kept, on top of the state that it lost to.
    private func receive(
        _ push: Push, again overtaken: consuming OvertakenPush
    ) throws -> Reception {
        let slot = try slots.take()
        defer { _ = slot }

        push.log.info("receiving a push again, on another's")
        let bridge = bridge(for: push, overtaken.commands)
        return try overtaken.receive(
            with: hydration, client: client(of: push.request), bridge: bridge,
            deadline: push.deadline, hangup: push.body.hangupDescriptor, log: push.log
        ) { try push.answer.progress($0) }
    }

    private func bridge(for push: Push, _ commands: PushCommands) -> PolicyBridge {
        PolicyBridge(
            rule: rule, repository: push.repository, requester: push.requester,
            asked: commands.commands.compactMap(\.update))
    }

    /// Publishes a push that was received, and tells what became of it.
    ///
    /// - Parameter attempts: swaps that may be tried.
    private func settle(
        _ push: Push, _ reception: consuming Reception, attempts: Int
    ) throws {
        let reporting = push.commands.capabilities.reporting
        switch consume reception {
        case .unchanged(let report):
            try push.answer.finish(unpublished: report)
        case .received(let received):
            // Without a report nobody could be told which part was done: all of it or nothing.
            if reporting.report == .unwanted, let refusal = received.refusal {
                throw RequestError.notAllowed(refusal)
            }
            switch try received.publish(in: push.queue, attempts: attempts) {
            case .published(let published):
                succeed(push, published)
            case .lost(let lost):
                // git's own report is what a person understands; a status is what a program does
                // that asked for no report, or wants to know that trying was given up.
                let isTold = lost.cause != .attemptsUsedUp && reporting.report == .wanted
                guard push.answer.stop() || isTold else { throw RequestError.pushLost }
                push.log.info(
                    "lost a push to another", metadata: ["push.user": "\(push.request.user ?? "")"])
                try push.answer.finish(unpublished: lost.report)
            case .overtaken(let overtaken):
                let attemptsLeft = overtaken.attemptsLeft
                let again = try receive(push, again: overtaken)
                try settle(push, again, attempts: attemptsLeft)
            }
        }
    }

    /// The push stands, whoever hears of it: nothing may say otherwise from now on.
    private func succeed(_ push: Push, _ published: consuming PublishedPush) {
        let state = published.state
        push.log.info(
            "published a push",
            metadata: [
                "manifest.digest": "\(state.digest)",
                "manifest.parent": "\(state.manifest.parent?.hex ?? "none")",
                "push.user": "\(push.request.user ?? "")",
            ])
        compactor?.pushed(
            to: push.repository, packs: state.manifest.packs.count, before: state.packsBefore)
        do {
            try Fence.succeed(published, on: push.answer)
        } catch {
            push.log.info("could not answer a published push", metadata: ["error": "\(error)"])
        }
    }
}

extension PushParent {
    /// The parent of a push to what a name resolves to. A new repository gets the object format
    /// that the client names.
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
