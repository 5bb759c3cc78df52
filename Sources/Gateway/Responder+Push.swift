import Bytes
import Maintenance
import GitProtocol
import Logging
import ObjectStore
import Policy
import Repository

extension Responder {
    /// Bytes; git's `http.postBuffer`, up to which it sends a push with its length and at once.
    private static let pushReadAhead: Int64 = 1 << 20

    /// A push on its way.
    private struct Push {
        let call: Call
        let repository: RepositoryName
        let commands: PushCommands
        /// The commands that are refused before git is asked.
        let refused: [PushReport.Rejection]
        let body: Body
        let answer: PushAnswer
        /// When git must be done with it, however often it is received.
        let deadline: ContinuousClock.Instant
        let queue: PublicationQueue
    }

    /// `git-receive-pack`: a push.
    func push(to name: RepositoryName, _ call: Call) throws {
        let (request, response) = (call.request, call.response)
        let verdict = rule.write(name, by: call.requester)
        if try isProbe(request, on: call.connection, verdict) {
            call.isProbe = true
            return try response.begin(type: PushAnswer.type)
        }
        try authorize(verdict)
        call.connection.allow(.push)
        let body = try Body(
            of: request, from: call.connection, limit: limits.body, deadline: deadline,
            framing: .commandsAndPack)
        let resolution = try Snapshot.resolve(name, in: store)
        call.mark(.resolved)
        switch resolution {
        case .live: break
        case .absent, .deleted:
            if limits.missingRepository == .isNotFound { throw RequestError.notFound }
        }
        if try body.isProbe() {
            call.isProbe = true
            try response.begin(type: PushAnswer.type)
            return
        }
        let commands = try PushCommands.read(from: PktLineReader { try body.read(exactly: $0) })
        FaultPoint.reach(.pushStarted)

        let answer = PushAnswer(
            response, reporting: commands.capabilities.reporting, keepAlive: limits.pushKeepAlive,
            commands: commands.commands)
        let parent = Base(of: commands, to: name, resolution)
        let refused: [PushReport.Rejection]
        switch try PushCheck(parent.manifest).verdict(on: commands) {
        case .receive(let without): refused = without
        case .refuse(let report):
            drain(call)
            return try finish(answer, unpublished: report, call)
        }
        body.onEnd = { answer.arm() }
        let push = Push(
            call: call, repository: name, commands: commands, refused: refused, body: body,
            answer: answer, deadline: deadline, queue: queues.queue(of: name))
        do {
            let reception = try receive(push, on: parent)
            try settle(push, reception, attempts: limits.pushAttempts)
        } catch {
            // Whatever has to be told, the keep-alives must not write into it.
            let hasBegun = answer.stop()
            let told = ErrorTable.answer(to: error)
            // git shows its user a report, and of a status the number alone.
            let isShown =
                told.status == 413 && commands.capabilities.reporting.report == .wanted
            guard hasBegun || isShown else { throw error }
            call.fail(error, told)
            if isShown { drain(call) }
            try answer.finish(failing: commands, told.text)
        }
        FaultPoint.reach(.pushAnswered)
    }

    /// Answers a push that published nothing with git's report, and notes why.
    private func finish(
        _ answer: PushAnswer, unpublished report: PushReport, _ call: Call
    ) throws {
        call.refusal = report.refusal
        try answer.finish(unpublished: report)
    }

    /// Receives a push in a workspace, holding a slot only as long as git runs.
    private func receive(_ push: Push, on parent: Base) throws -> Reception {
        // A small push is sent whole: with its body in, hydrating a large repository for it can be
        // bridged by keep-alives, and no slow client holds a slot.
        let call = push.call
        if case .known(let length) = call.request.contentLength, length <= Self.pushReadAhead {
            try push.body.readAhead(Int(Self.pushReadAhead))
        }
        call.mark(.body)
        let slot = try slots.take()
        defer { _ = slot }
        call.mark(.slot)

        let workspace = try hydration.writeWorkspace(on: parent, log: call.log)
        call.mark(.hydrated)
        FaultPoint.reach(.pushHydrated)
        defer { call.mark(.git) }
        let commands = push.commands.without(Set(push.refused.map(\.rawName)))
        return try ReceivedPush.receive(
            commands, body: push.body, in: workspace, git: git,
            client: client(of: push.call.request), bridge: bridge(for: push, commands),
            deadline: push.deadline, rejected: push.refused
        ) { try pass($0, on: push) }
    }

    /// Passes on what git says on band 2, which is also why it refuses a push.
    private func pass(_ words: ArraySlice<UInt8>, on push: Push) throws {
        push.call.hear(words)
        try push.answer.progress(words)
    }

    /// Receives a push again, from the pack that was kept, on top of the state that it lost to.
    private func receive(
        _ push: Push, again overtaken: consuming OvertakenPush
    ) throws -> Reception {
        let call = push.call
        let slot = try slots.take()
        defer { _ = slot }
        call.mark(.slot)

        call.log.info("retrying push on top of a concurrent one")
        defer { call.mark(.git) }
        let bridge = bridge(for: push, overtaken.commands)
        return try overtaken.receive(
            with: hydration, client: client(of: push.call.request), bridge: bridge,
            deadline: push.deadline, hangup: push.body.hangupDescriptor, log: call.log
        ) { try pass($0, on: push) }
    }

    private func bridge(for push: Push, _ commands: PushCommands) -> PolicyBridge {
        PolicyBridge(
            rule: rule, repository: push.repository, requester: push.call.requester,
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
            try finish(push.answer, unpublished: report, push.call)
        case .received(let received):
            // Without a report nobody could be told which part was done: all of it or nothing.
            if reporting.report == .unwanted, let refusal = received.refusal {
                push.call.refusal = refusal
                throw RequestError.notAllowed(refusal)
            }
            let publication = try received.publish(in: push.queue, attempts: attempts)
            push.call.mark(.swapped)
            switch consume publication {
            case .published(let published):
                succeed(push, published)
            case .lost(let lost):
                // git's own report is what a person understands; a status is what a program does
                // that asked for no report, or wants to know that trying was given up.
                let isTold = lost.cause != .attemptsUsedUp && reporting.report == .wanted
                push.call.refusal = lost.report.refusal
                guard push.answer.stop() || isTold else { throw RequestError.pushLost }
                try finish(push.answer, unpublished: lost.report, push.call)
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
        push.call.isPublished = true
        push.call.refusal = published.refusal
        push.call.log.info(
            "push published",
            metadata: [
                "manifest.digest": "\(state.digest)",
                "manifest.parent": "\(state.manifest.parent?.hex ?? "none")",
                "push.user": "\(push.call.request.user ?? "")",
            ])
        verifier?.published(state.digest, pack: published.pack, to: push.repository)
        compactor?.pushed(
            to: push.repository, packs: state.manifest.packs.count, before: state.packsBefore)
        do {
            try push.answer.acknowledge(published)
        } catch {
            push.call.log.info(
                "push published, but the response could not be sent",
                metadata: ["error": "\(error)"])
        }
    }
}

extension Base {
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
