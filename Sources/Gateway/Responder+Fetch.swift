import Fetch
import Git
import GitProtocol
import Hydration
import ObjectStore
import Policy
import Posix
import Repository

extension Responder {
    /// The largest decoded request of a fetch, in bytes. git keeps it in memory, and anyone can send it,
    /// a thousand times smaller as gzip. A million wants have 50 MB; git http-backend accepts 10.
    private static let maximumFetch: Int64 = 64 << 20

    /// The time in which the request must arrive.
    private static let fetchPatience = Duration.seconds(300)

    /// `git-upload-pack`: a fetch, or protocol v2's `ls-refs`.
    func fetch(from name: RepositoryName, _ call: Call) throws {
        let (request, response) = (call.request, call.response)
        try authorize(rule.read(name, by: call.requester))
        let limit = limits.body > 0 ? min(limits.body, Self.maximumFetch) : Self.maximumFetch
        let body = try Body(
            of: request, from: call.connection, limit: limit,
            deadline: .now + min(limits.gitTime, Self.fetchPatience), framing: .pktLines)
        let snapshot = try resolve(name)
        call.mark(.resolved)
        let type = "application/x-git-upload-pack-result"
        if try body.isProbe() {
            call.isProbe = true
            try response.begin(type: type)
            return
        }
        // In version 2 git would treat it as the end of the conversation.
        if try body.isEmpty() { throw ProtocolError.truncated("its first pkt-line") }
        if ProtocolVersion(header: request.gitProtocol) == .v2,
            let answer = try body.peek({ try answers.lsRefs($0, snapshot.manifest) })
        {
            call.mark(.body)
            call.isLsRefs()
            try response.begin(type: type)
            return try response.write(answer)
        }
        // A slow client occupies a worker, but no slot for git.
        let spooled = try SpooledBody(body, in: spools)
        call.mark(.body)
        try answer(spooled, from: snapshot, type: type, call)
    }

    /// Answers with git.
    private func answer(
        _ body: SpooledBody, from snapshot: Snapshot, type: String, _ call: Call
    ) throws {
        // A slow store must not delay other repositories.
        var early: HydratedWorkspace?
        if hydration.fillsCache(for: snapshot.manifest) { early = try hydrate(snapshot, call) }
        let client = client(of: call.request)
        let slot = try slots.take(for: client, hangup: body.hangupDescriptor)
        call.mark(.slot)
        let hydrated = try early.take() ?? hydrate(snapshot, call)
        FaultPoint.reach(.fetchHydrated)
        let answer = try SpooledAnswer(call.response, type: type, through: spools)
        var hasOutput = false
        let run = Result {
            try UploadPack(git: hydration.git, client: client).answer(
                body, in: hydrated.workspace, limits: .until(deadline)
            ) { bytes in
                hasOutput = true
                try answer.append(bytes) { wait in slot.lend { wait() } }
            }
        }
        call.mark(.git)
        var isClients = false
        if case .success(let ending) = run, !ending.succeeded {
            isClients = ending.words.blameClient(havingRefs: snapshot.manifest.refs.values)
            if !isClients || hasOutput { hydrated.doubtPacks() }
        }
        // The client may need longer, but git has finished.
        _ = consume slot
        _ = consume hydrated
        defer { call.mark(.sent) }
        switch run {
        case .success: try answer.finish()
        case .failure: answer.abort()
        }
        let ending = try run.get()
        if !ending.succeeded { return try report(ending, isClients, call) }
        if !call.response.hasBegun { try call.response.begin(type: type) }
    }

    private func hydrate(_ snapshot: Snapshot, _ call: Call) throws -> HydratedWorkspace {
        let workspace = try hydration.readWorkspace(
            snapshot, log: call.log, limits: .until(deadline))
        call.mark(.hydrated)
        return workspace
    }

    /// Reports a failure of git. If the answer has begun, the client gets a truncated answer, and
    /// the log gets the cause.
    private func report(_ ending: GitEnding, _ isClients: Bool, _ call: Call) throws {
        guard call.response.hasBegun else {
            if isClients { throw ProtocolError.badPktLine("git does not understand the request") }
            throw ending.failure
        }
        let words = ending.words
        let error = GitError.failed(
            step: "finish a fetch", reason: "\(ending.status): \(words.text)")
        if isClients {
            call.fail(error, ErrorAnswer(status: 400, text: words.text))
        } else {
            call.fail(error)
        }
    }

    private func resolve(_ name: RepositoryName) throws -> Snapshot {
        guard case .live(let snapshot) = try manifests.resolve(name) else {
            throw RequestError.notFound
        }
        return snapshot
    }
}
