package import Maintenance
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
        package var missingRepository: MissingRepository
        /// How the URLs of repositories end.
        package var urlSuffix: Route.Suffix

        package enum MissingRepository: Sendable { case isNotFound, creates }

        package init(
            git: Int, body: Int64 = 0, gitTime: Duration = .seconds(3600),
            pushKeepAlive: Duration = .seconds(5), pushAttempts: Int = 20,
            missingRepository: MissingRepository = .isNotFound, urlSuffix: Route.Suffix = .both
        ) {
            self.git = git
            self.body = body
            self.gitTime = gitTime
            self.pushKeepAlive = pushKeepAlive
            self.pushAttempts = pushAttempts
            self.missingRepository = missingRepository
            self.urlSuffix = urlSuffix
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
    /// nil: what was published is not read back.
    let verifier: UploadVerifier?
    private let lines: RequestLines

    /// - Parameter served: the level of the line of a request that was served.
    package init(
        hydration: Hydration, git: GitProgram, rule: AccessRule, limits: Limits,
        compactor: BackgroundCompactor? = nil, verifier: UploadVerifier? = nil, log: Logger,
        served: Logger.Level = .info
    ) {
        store = hydration.store
        self.hydration = hydration
        self.git = git
        self.rule = rule
        self.limits = limits
        self.compactor = compactor
        self.verifier = verifier
        lines = RequestLines(log: log, served: served)
        slots = GitSlots(limits.git)
        queues = PublicationQueues(in: hydration.store)
        answers = ManifestAnswers(LearnedCapabilities(git: git, state: hydration.state))
    }

    /// Answers one request, whatever happens, and logs it in one line.
    package func respond(to request: Request, on connection: any Connection) {
        let call = Call(request, on: connection, lines: lines)
        StoreMeter.$current.withValue(call.meter) {
            do {
                switch try Route(request, suffix: limits.urlSuffix) {
                case .advertise(.uploadPack, let name):
                    call.take(.refsForFetch, of: name)
                    try advertise(.uploadPack, of: name, call)
                case .advertise(.receivePack, let name):
                    call.take(.refsForPush, of: name)
                    try advertise(.receivePack, of: name, call)
                case .fetch(let name):
                    call.take(.fetch, of: name)
                    try fetch(from: name, call)
                case .push(let name):
                    call.take(.push, of: name)
                    try push(to: name, call)
                }
            } catch {
                fail(error, call)
            }
        }
        call.end()
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
        _ service: UploadPack.Service, of name: RepositoryName, _ call: Call
    ) throws {
        let (request, response, requester) = (call.request, call.response, call.requester)
        switch service {
        case .uploadPack: try authorize(rule.read(name, by: requester))
        case .receivePack: try authorize(rule.write(name, by: requester))
        }
        let version = ProtocolVersion(header: request.gitProtocol)
        let advertisement: [UInt8]
        let resolution = try Snapshot.resolve(name, in: store)
        call.mark(.resolved)
        switch resolution {
        case .live(let snapshot):
            advertisement =
                try answers.advertisement(of: service, version, snapshot.manifest)
                ?? advertiseByGit(service, snapshot, call)
        case .absent, .deleted:
            // As of an empty repository, in the format of nearly all.
            guard service == .receivePack, limits.missingRepository == .creates,
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
        _ service: UploadPack.Service, _ snapshot: Snapshot, _ call: Call
    ) throws -> [UInt8] {
        let slot = try slots.take()
        defer { _ = slot }
        call.mark(.slot)

        let hydrated = try hydration.readWorkspace(snapshot, log: call.log)
        call.mark(.hydrated)
        defer { call.mark(.git) }
        return try UploadPack(git: git, client: client(of: call.request))
            .advertisement(of: service, in: hydrated.workspace)
    }

    /// Bytes of a fetch's request, decoded: git keeps it in memory, and anybody may send it, a
    /// thousand times smaller as gzip. A million wants have 50 MB; git http-backend takes 10.
    private static let maximumFetch: Int64 = 64 << 20

    /// How long it may take to come in.
    private static let fetchPatience = Duration.seconds(300)

    /// Bytes of it that are waited for before a git process is: nearly always all of them.
    private static let fetchReadAhead = 1 << 20

    /// What upload-pack says of a request that is the client's fault. git's serve.c, upload-pack.c,
    /// ls-refs.c, pkt-line.c, shallow.c, list-objects-filter-options.c.
    private static let complaints = [
        "protocol error", "unknown request", "invalid command", "no command requested",
        "ambiguous deepen-not", "no commits selected for shallow requests",
        "(or deepen-not) cannot be used together", "invalid shallow line",
        "invalid shallow object", "expected SHA1", "filtering capability not negotiated",
        "filter-spec", "expected 'tree:<depth>'", "'object:type=<type>'", "sparse:path filters",
        "expected something after combine",
        "after already requesting command", "unknown capability", "unknown object format",
        "mismatched object format", "requires an argument", "unexpected line", "expected flush",
        "Invalid deepen", "hung up unexpectedly", "remote error: ", "' not supported",
    ]

    /// Whether a fetch failed for what its client sent, and not for what is stored. The words may be
    /// the client's own, so all that follows from them is how the request is logged and answered.
    private static func isClients(_ errors: String, of manifest: Manifest) -> Bool {
        if let match = errors.firstMatch(of: /not our ref ([0-9a-f]+)/) {
            // A repository that lacks what its own refs point to is damaged.
            guard let id = ObjectID(match.output.1.utf8) else { return true }
            return !manifest.refs.values.contains(id)
        }
        return complaints.contains { errors.contains($0) }
    }

    /// `git-upload-pack`: a fetch, or protocol v2's `ls-refs`.
    private func fetch(from name: RepositoryName, _ call: Call) throws {
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
        // In version 2 git takes it for a client that wants nothing more.
        if try body.isEmpty() { throw ProtocolError.truncated("its first pkt-line") }
        if ProtocolVersion(header: request.gitProtocol) == .v2,
            let answer = try answers.lsRefs(body, snapshot.manifest)
        {
            call.mark(.body)
            call.isLsRefs()
            try response.begin(type: type)
            return try response.write(answer)
        }
        // Whoever asks slowly keeps a worker, but none of the few git processes.
        try body.readAhead(Self.fetchReadAhead)
        call.mark(.body)

        let slot = try slots.take()
        defer { _ = slot }
        call.mark(.slot)

        let hydrated = try hydration.readWorkspace(snapshot, log: call.log)
        call.mark(.hydrated)
        FaultPoint.reach(.fetchHydrated)
        defer { call.mark(.git) }
        let ending = try UploadPack(git: git, client: client(of: request)).answer(
            body, in: hydrated.workspace, deadline: deadline
        ) { bytes in
            if !response.hasBegun { try response.begin(type: type) }
            try response.write(bytes)
        }
        if response.hasBegun {
            // The client sees an answer that ends too early; the cause is for the log.
            if ending != .exited(0) {
                hydrated.doubtPacks()
                let errors = hydrated.workspace.gitErrors()
                let error = RepositoryError.git(
                    step: "finish a fetch", reason: "\(ending): \(errors)")
                if Self.isClients(errors, of: snapshot.manifest) {
                    call.fail(error, ErrorAnswer(status: 400, text: errors))
                } else {
                    call.fail(error)
                }
            }
            return
        }
        if ending == .exited(0) {
            try response.begin(type: type)
            return
        }
        let errors = hydrated.workspace.gitErrors()
        if Self.isClients(errors, of: snapshot.manifest) {
            throw ProtocolError.badPktLine("git does not understand the request")
        }
        hydrated.doubtPacks()
        throw RepositoryError.git(step: "answer a fetch", reason: "\(ending): \(errors)")
    }

    /// For how long what is left of a refused body is waited for: anybody may send one.
    private static let strangersDrainTime = Duration.seconds(10)
    /// The same for somebody whom the web server knows: git sends a push to its end before it looks
    /// at the answer.
    private static let usersDrainTime = Duration.seconds(300)

    /// Takes in what is left of a body that is refused, so that its client gets the answer.
    func drain(_ call: Call) {
        guard call.request.mayHaveBody else { return }
        call.connection.drain(
            atMost: call.request.user == nil ? Self.strangersDrainTime : Self.usersDrainTime)
    }

    /// Answers with an error, where an answer can still be one.
    private func fail(_ error: any Error, _ call: Call) {
        let answer = ErrorTable.answer(to: error)
        call.fail(error, answer)
        guard !call.response.hasBegun else { return }
        // A body that was waited for already is not waited for again.
        if answer.status != 408 { drain(call) }
        do {
            try call.response.begin(
                status: answer.status, type: "text/plain; charset=utf-8", headers: answer.headers)
            let text = PrintableText.sentence(answer.text)
            try call.response.write(
                Array("\(text) (request \(call.request.identifier))\n".utf8))
        } catch {
            call.log.debug(
                "could not send the error response", metadata: ["error": "\(error)"])
        }
    }
}
