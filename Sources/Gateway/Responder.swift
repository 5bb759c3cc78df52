import GitProtocol
import Glibc
package import Logging
import ObjectStore
package import Policy
import Posix
package import Repository

/// Answers requests: accept → route → authorize → resolve → hydrate → run git → publish → respond.
package struct Responder: Sendable {
    /// What an operator sets.
    package struct Limits: Sendable {
        /// Git processes at once.
        package var git: Int
        /// Bytes of a request's body; 0: none, the web server's limit.
        package var body: Int64
        /// How long git may take for one request.
        package var gitTime: Duration
        /// After how long a push that is not done is kept alive; zero: never.
        package var pushKeepAlive: Duration
        /// Swaps that a push tries at most.
        package var pushAttempts: Int
        /// What a push to a repository that is not there does.
        package var pushToNothing: PushToNothing

        package enum PushToNothing: Sendable { case isNotFound, creates }

        package init(
            git: Int, body: Int64 = 0, gitTime: Duration = .seconds(3600),
            pushKeepAlive: Duration = .seconds(5), pushAttempts: Int = 20,
            pushToNothing: PushToNothing = .isNotFound
        ) {
            self.git = git
            self.body = body
            self.gitTime = gitTime
            self.pushKeepAlive = pushKeepAlive
            self.pushAttempts = pushAttempts
            self.pushToNothing = pushToNothing
        }
    }

    let store: any ObjectStore
    let hydration: Hydration
    let git: GitProgram
    let rule: AccessRule
    let limits: Limits
    let slots: GitSlots
    /// The pushes that are ready to be published.
    let queues: PublicationQueues
    private let answers: ManifestAnswers
    /// nil: nothing is compacted in the background.
    let compactor: BackgroundCompactor?
    private let log: Logger

    package init(
        hydration: Hydration, git: GitProgram, rule: AccessRule, limits: Limits,
        compactor: BackgroundCompactor? = nil, log: Logger
    ) {
        store = hydration.store
        self.hydration = hydration
        self.git = git
        self.rule = rule
        self.limits = limits
        self.compactor = compactor
        self.log = log
        slots = GitSlots(limits.git)
        queues = PublicationQueues(in: hydration.store)
        answers = ManifestAnswers(LearnedCapabilities(git: git, state: hydration.state))
    }

    /// Answers one request, whatever happens.
    package func respond(to request: Request, on connection: any Connection) {
        var log = log
        log[metadataKey: "request.id"] = "\(request.identifier)"
        let response = Response(to: request, on: connection)
        do {
            switch try Route(request) {
            case .advertise(let service, let name):
                log[metadataKey: "repo.name"] = "\(name)"
                try advertise(service, of: name, request, response, log)
            case .fetch(let name):
                log[metadataKey: "repo.name"] = "\(name)"
                try fetch(from: name, request, connection, response, log)
            case .push(let name):
                log[metadataKey: "repo.name"] = "\(name)"
                try push(to: name, request, connection, response, log)
            }
        } catch {
            fail(error, request, connection, response, log)
        }
    }

    /// The routes' first half: may they, and what is there.
    func authorize(_ verdict: Verdict) throws(RequestError) {
        if case .deny(let reason) = verdict { throw .notAllowed(reason) }
    }

    private func resolve(_ name: RepositoryName) throws -> Snapshot {
        guard case .live(let snapshot) = try Snapshot.resolve(name, in: store) else {
            throw RequestError.notFound
        }
        return snapshot
    }

    func client(of request: Request) -> GitProgram.Client {
        GitProgram.Client(
            user: request.user ?? "", address: request.address,
            protocolVersion: request.gitProtocol)
    }

    var deadline: ContinuousClock.Instant { .now + limits.gitTime }

    /// `info/refs`. gitprotocol-http(5), "Smart Clients".
    private func advertise(
        _ service: UploadPack.Service, of name: RepositoryName, _ request: Request,
        _ response: Response, _ log: Logger
    ) throws {
        let requester = Requester(user: request.user)
        switch service {
        case .uploadPack: try authorize(rule.read(name, by: requester))
        case .receivePack: try authorize(rule.write(name, by: requester))
        }
        let version = ProtocolVersion(header: request.gitProtocol)
        let advertisement: [UInt8]
        switch try Snapshot.resolve(name, in: store) {
        case .live(let snapshot):
            advertisement =
                try answers.advertisement(of: service, version, snapshot.manifest)
                ?? advertiseByGit(service, snapshot, request, log)
        case .absent, .deleted:
            // As of an empty repository, in the format of nearly all.
            guard service == .receivePack, limits.pushToNothing == .creates,
                let empty = try answers.advertisement(
                    of: service, version, Manifest(head: .main))
            else { throw RequestError.notFound }
            advertisement = empty
        }

        var body: [UInt8] = []
        if service == .receivePack || version != .v2 {
            PktLine.append(Array("# service=git-\(service.rawValue)\n".utf8), to: &body)
            body += PktLine.flushBytes
        }
        body += advertisement
        try response.begin(type: "application/x-git-\(service.rawValue)-advertisement")
        try response.write(body)
    }

    /// Where the manifest does not tell what its refs peel to, git finds out.
    private func advertiseByGit(
        _ service: UploadPack.Service, _ snapshot: Snapshot, _ request: Request, _ log: Logger
    ) throws -> [UInt8] {
        let slot = try slots.take()
        defer { _ = slot }

        let workspace = try hydration.readWorkspace(snapshot, log: log)
        return try UploadPack(git: git, client: client(of: request))
            .advertisement(of: service, in: workspace)
    }

    /// Bytes of a fetch's request, decoded: git keeps it in memory, and anybody may send it, a
    /// thousand times smaller as gzip. A million wants have 50 MB; git http-backend takes 10.
    private static let maximumFetch: Int64 = 64 << 20

    /// How long it may take to come in.
    private static let fetchPatience = Duration.seconds(300)

    /// Bytes of it that are waited for before a git process is: nearly always all of them.
    private static let fetchReadAhead = 1 << 20

    /// What upload-pack says of a request that is the client's fault, before it has answered
    /// anything. git's serve.c, upload-pack.c, ls-refs.c, pkt-line.c, shallow.c,
    /// list-objects-filter-options.c.
    private static let complaints = [
        "protocol error", "unknown request", "invalid command", "no command requested",
        "ambiguous deepen-not", "no commits selected for shallow requests",
        "(or deepen-not) cannot be used together", "invalid shallow line",
        "invalid shallow object", "expected SHA1", "filtering capability not negotiated",
        "filter-spec", "expected 'tree:<depth>'", "'object:type=<type>'", "sparse:path filters",
        "expected something after combine",
        "after already requesting command", "unknown capability", "unknown object format",
        "mismatched object format", "requires an argument", "unexpected line", "expected flush",
        "Invalid deepen", "hung up unexpectedly",
    ]

    /// `git-upload-pack`: a fetch, or protocol v2's `ls-refs`.
    private func fetch(
        from name: RepositoryName, _ request: Request, _ connection: any Connection,
        _ response: Response, _ log: Logger
    ) throws {
        try authorize(rule.read(name, by: Requester(user: request.user)))
        let limit = limits.body > 0 ? min(limits.body, Self.maximumFetch) : Self.maximumFetch
        let body = try Body(
            of: request, from: connection, limit: limit,
            deadline: .now + min(limits.gitTime, Self.fetchPatience), framing: .pktLines)
        let snapshot = try resolve(name)
        let type = "application/x-git-upload-pack-result"
        if try body.isProbe() {
            try response.begin(type: type)
            return
        }
        if ProtocolVersion(header: request.gitProtocol) == .v2,
            let answer = try answers.lsRefs(body, snapshot.manifest)
        {
            try response.begin(type: type)
            return try response.write(answer)
        }
        // Whoever asks slowly keeps a worker, but none of the few git processes.
        try body.readAhead(Self.fetchReadAhead)

        let slot = try slots.take()
        defer { _ = slot }

        let workspace = try hydration.readWorkspace(snapshot, log: log)
        FaultPoint.reach(.fetchHydrated)
        let ending = try UploadPack(git: git, client: client(of: request)).answer(
            body, in: workspace, deadline: deadline
        ) { bytes in
            if !response.hasBegun { try response.begin(type: type) }
            try response.write(bytes)
        }
        if response.hasBegun {
            // The client sees an answer that ends too early; the cause is for the log.
            if ending != .exited(0) {
                workspace.doubtPacks()
                log.warning(
                    "git did not finish a fetch",
                    metadata: ["error": "\(ending): \(workspace.gitErrors())"])
            }
            return
        }
        if ending == .exited(0) {
            try response.begin(type: type)
            return
        }
        let errors = workspace.gitErrors()
        if Self.complaints.contains(where: { errors.contains($0) }) {
            throw ProtocolError.badPktLine("git does not understand the request")
        }
        workspace.doubtPacks()
        throw RepositoryError.git(step: "answer a fetch", reason: "\(ending): \(errors)")
    }

    /// Answers with an error, where an answer can still be one.
    private func fail(
        _ error: any Error, _ request: Request, _ connection: any Connection,
        _ response: Response, _ log: Logger
    ) {
        let answer = ErrorTable.answer(to: error)
        record(error, answer, log)
        guard !response.hasBegun else { return }
        // An answer before the request's end is not seen by every client.
        if request.method == "POST" { connection.drain() }
        do {
            try response.begin(
                status: answer.status, type: "text/plain; charset=utf-8", headers: answer.headers)
            try response.write(Array("\(answer.text) (request \(request.identifier))\n".utf8))
        } catch {
            log.debug("could not answer", metadata: ["error": "\(error)"])
        }
    }

    func record(_ error: any Error, _ answer: ErrorAnswer, _ log: Logger) {
        let metadata: Logger.Metadata = [
            "http.status": "\(answer.status)", "error": "\(error)",
        ]
        switch answer.severity {
        case .failed: log.error("a request failed", metadata: metadata)
        case .refused: log.info("refused a request", metadata: metadata)
        }
    }
}
