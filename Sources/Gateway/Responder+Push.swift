import Bytes
import GitProtocol
import Logging
import Maintenance
import ObjectStore
import Policy
import Push
import Repository

extension Responder {
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
            of: request, from: call.connection, limit: limits.body, deadline: nil,
            framing: .commandsAndPack)
        let resolution = try manifests.resolve(name)
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
        let push = try Push(commands, to: name, on: resolution, in: context(of: call, name))
        if let report = push.refusal {
            drain(call)
            return try finish(answer, unpublished: report, call)
        }
        body.onEnd = { answer.arm() }
        do {
            // A slow client occupies a worker, but no slot for git. Once its body has arrived,
            // keep-alives can bridge the wait for a slot.
            let spooled = try SpooledBody(body, in: spools)
            call.mark(.body)
            let ending = try push.run(spooled) { commands in
                PolicyBridge(
                    rule: rule, repository: name, requester: call.requester,
                    asked: commands.commands.compactMap(\.update))
            } progress: { words in
                // They also contain the reasons for git's refusals.
                call.hear(words)
                try answer.progress(words)
            }
            try finish(answer, ending, of: commands, to: name, call)
        } catch {
            // The keep-alives must not write into the answer, whatever it is.
            let hasBegun = answer.stop()
            let told = ErrorTable.answer(to: error)
            // git shows a report to its user, but only the number of a status.
            let isShown =
                told.status == 413 && commands.capabilities.reporting.report == .wanted
            guard hasBegun || isShown else { throw error }
            call.fail(error, told)
            if isShown { drain(call) }
            try answer.finish(failing: commands, told.text)
        }
        FaultPoint.reach(.pushAnswered)
    }

    private func context(of call: Call, _ name: RepositoryName) -> Push.Context {
        Push.Context(
            hydration: hydration, slots: slots, queue: queues.queue(of: name),
            client: client(of: call.request),
            limits: .init(attempts: limits.pushAttempts, gitTime: limits.gitTime), log: call.log
        ) { phase in
            switch phase {
            case .slot: call.mark(.slot)
            case .hydrated: call.mark(.hydrated)
            case .git: call.mark(.git)
            case .swapped: call.mark(.swapped)
            }
        }
    }

    /// Sends the answer to a push that has ended.
    private func finish(
        _ answer: PushAnswer, _ ending: consuming PushEnding, of commands: PushCommands,
        to name: RepositoryName, _ call: Call
    ) throws {
        switch consume ending {
        case .unchanged(let report):
            try finish(answer, unpublished: report, call)
        case .refused(let reason):
            call.refusal = reason
            throw RequestError.notAllowed(reason)
        case .lost(let lost):
            // git's own report is for people. Programs that requested no report, or need to know
            // that all attempts were used, get a status.
            let isTold =
                lost.cause != .attemptsUsedUp && commands.capabilities.reporting.report == .wanted
            call.refusal = lost.report.refusal
            guard answer.stop() || isTold else { throw RequestError.pushLost }
            try finish(answer, unpublished: lost.report, call)
        case .published(let published):
            acknowledge(published, to: name, on: answer, call)
        }
    }

    /// Answers a push that published nothing with git's report, and records the reason.
    private func finish(
        _ answer: PushAnswer, unpublished report: PushReport, _ call: Call
    ) throws {
        call.refusal = report.refusal
        try answer.finish(unpublished: report)
    }

    /// Acknowledges a push that is published: from now on nothing may deny that, even if the client
    /// gets no answer.
    private func acknowledge(
        _ published: consuming PublishedPush, to name: RepositoryName, on answer: PushAnswer,
        _ call: Call
    ) {
        let state = published.state
        call.isPublished = true
        call.refusal = published.refusal
        call.log.info(
            "push published",
            metadata: [
                "manifest.digest": "\(state.digest)",
                "manifest.parent": "\(state.manifest.parent?.hex ?? "none")",
                "push.user": "\(call.request.user ?? "")",
            ])
        verifier?.published(state.digest, pack: published.pack, to: name)
        compactor?.pushed(
            to: name, packs: state.manifest.packs.count, before: state.packsBefore)
        do {
            try answer.acknowledge(published)
        } catch {
            call.log.info(
                "push published, but the response could not be sent",
                metadata: ["error": "\(error)"])
        }
    }
}

extension Responder {
    /// Whether the request of a client that cannot push is the probe that git sends before a large
    /// push, a body of exactly `0000`.
    ///
    /// git 2.46 and some later releases send it without their token, and abandon the push at any answer
    /// except 200. The answer is the same for every name, so that it does not reveal which repositories
    /// exist, and it permits nothing.
    func isProbe(
        _ request: Request, on connection: any Connection, _ verdict: Verdict
    ) throws -> Bool {
        guard case .deny = verdict, request.contentLength == .known(4),
            request.contentEncoding.isEmpty
        else { return false }
        return try Body(
            of: request, from: connection, limit: limits.body, deadline: nil,
            framing: .commandsAndPack
        ).isProbe()
    }
}
