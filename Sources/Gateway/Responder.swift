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
    let answers: ManifestAnswers
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

    func client(of request: Request) -> GitProgram.Client {
        GitProgram.Client(
            user: request.user ?? "", address: request.address,
            protocolVersion: request.gitProtocol)
    }

    var deadline: ContinuousClock.Instant { .now + limits.gitTime }

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
