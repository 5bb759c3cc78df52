import Cache
import Fetch
import Git
import GitProtocol
import Glibc
package import Hydration
package import Logging
package import Maintenance
import ObjectStore
package import Policy
import Posix
import Push
import Repository

/// Answers requests: accept → route → authorize → resolve → hydrate → run git → publish → respond.
package struct Responder: Sendable {
    /// The limits that an operator sets.
    package struct Limits: Sendable {
        /// The number of concurrent git processes.
        package var git: Int
        /// The maximum size of a request's body in bytes; 0 for no limit other than the web
        /// server's.
        package var body: Int64
        /// The longest wait for a git process.
        package var queueTime: Duration
        /// The time limit for git in one request, without the time in which it waits for the client.
        package var gitTime: Duration
        /// The maximum disk space in bytes for bodies and answers in progress.
        package var spool: Int64
        /// The time after which a running push is kept alive; zero for never.
        package var pushKeepAlive: Duration
        /// The number of swaps that a push may try.
        package var pushAttempts: Int
        /// The treatment of a push to a repository that does not exist.
        package var missingRepository: MissingRepository
        /// The suffix of repositories' URLs.
        package var urlSuffix: Route.Suffix

        package enum MissingRepository: Sendable { case isNotFound, creates }

        package init(
            git: Int, body: Int64 = 0, queueTime: Duration = .seconds(600),
            gitTime: Duration = .seconds(3600), spool: Int64 = 1 << 30,
            pushKeepAlive: Duration = .seconds(5), pushAttempts: Int = 20,
            missingRepository: MissingRepository = .isNotFound, urlSuffix: Route.Suffix = .both
        ) {
            self.git = git
            self.body = body
            self.queueTime = queueTime
            self.gitTime = gitTime
            self.spool = spool
            self.pushKeepAlive = pushKeepAlive
            self.pushAttempts = pushAttempts
            self.missingRepository = missingRepository
            self.urlSuffix = urlSuffix
        }
    }

    let manifests: Manifests
    let hydration: Hydration
    let rule: AccessRule
    let limits: Limits
    let slots: GitSlots
    let spools: SpoolSpace
    /// The pushes that are ready to be published.
    let queues: PublicationQueues
    let answers: ManifestAnswers
    /// nil if nothing is compacted in the background.
    let compactor: BackgroundCompactor?
    /// nil if published packs are not read back.
    let verifier: UploadVerifier?
    private let lines: RequestLines

    /// - Parameter served: the log level of a request that was served.
    package init(
        hydration: Hydration, rule: AccessRule, limits: Limits,
        compactor: BackgroundCompactor? = nil, verifier: UploadVerifier? = nil, log: Logger,
        served: Logger.Level = .info
    ) {
        manifests = hydration.manifests
        self.hydration = hydration
        self.rule = rule
        self.limits = limits
        self.compactor = compactor
        self.verifier = verifier
        lines = RequestLines(log: log, served: served)
        slots = GitSlots(limits.git, patience: limits.queueTime)
        spools = SpoolSpace(limit: limits.spool) { [state = hydration.state] in
            try state.scratchPath()
        }
        queues = PublicationQueues(in: hydration.manifests)
        answers = ManifestAnswers(LearnedCapabilities(git: hydration.git, state: hydration.state))
    }

    /// Answers one request, possibly with an error, and logs it in one line.
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

    /// Throws the reason if the verdict is a denial.
    func authorize(_ verdict: Verdict) throws(RequestError) {
        if case .deny(let reason) = verdict { throw .notAllowed(reason) }
    }

    func client(of request: Request) -> GitProgram.Client {
        GitProgram.Client(
            user: request.user ?? "", address: request.address,
            protocolVersion: request.gitProtocol)
    }

    var deadline: ContinuousClock.Instant { .now + limits.gitTime }

    /// The longest wait for the rest of a refused body, which anyone can send.
    private static let strangersDrainTime = Duration.seconds(10)
    /// The same for a user whom the web server has authenticated: git sends a push to its end before it
    /// reads the answer.
    private static let usersDrainTime = Duration.seconds(300)

    /// Reads the rest of a refused body, so that its client gets the answer.
    func drain(_ call: Call) {
        guard call.request.mayHaveBody else { return }
        call.connection.drain(
            atMost: call.request.user == nil ? Self.strangersDrainTime : Self.usersDrainTime)
    }

    /// Answers with an error, unless the answer has begun.
    private func fail(_ error: any Error, _ call: Call) {
        let answer = ErrorTable.answer(to: error)
        call.fail(error, answer)
        guard !call.response.hasBegun else { return }
        // After a timeout the server has already waited for the body.
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
