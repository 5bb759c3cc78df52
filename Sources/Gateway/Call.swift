import Git
import GitProtocol
import Logging
import ObjectStore
import Policy

/// One request in progress: its requester, its answer, and its line in the log.
///
/// Used by the thread that serves the request.
final class Call {
    let request: Request
    let requester: Requester
    let connection: CountedConnection
    let response: Response
    /// A logger with the metadata of all of the request's lines.
    private(set) var log: Logger
    private(set) var route = RouteName.none
    /// The first refusal of a ref of a push, by git or this server; the push may have been published
    /// without it.
    var refusal: String?
    /// Whether a push was published.
    var isPublished = false
    /// Whether this was the probe with which a client checks its permission.
    var isProbe = false

    let meter = StoreMeter()
    private let lines: RequestLines
    /// The end of git's messages to the client of a push.
    private var words: [UInt8] = []
    private let start = ContinuousClock.now
    private var lastMark: ContinuousClock.Instant
    private var times: [Phase: Duration] = [:]
    private var failure: (error: any Error, answer: ErrorAnswer)?

    /// The kind of a request, for the log.
    enum RouteName: String {
        /// Unknown: the request was refused because of its path, method or type.
        case none
        case refsForFetch = "refs-for-fetch"
        case refsForPush = "refs-for-push"
        case fetch
        /// A fetch's list of refs, answered from the manifest.
        case lsRefs = "ls-refs"
        case push
    }

    /// A phase of a request, for the log's times.
    enum Phase: String, CaseIterable {
        /// Reading the pointer, and the manifest if it is not cached.
        case resolved
        /// Waiting for the client's request.
        case body
        /// Waiting for a git process to be free.
        case slot
        /// Creating the repository for git.
        case hydrated
        /// git.
        case git
        /// Sending the rest of the answer after git has ended, at the client's speed.
        case sent
        /// Storing new objects and swapping the pointer.
        case swapped
    }

    init(_ request: Request, on connection: any Connection, lines: RequestLines) {
        self.request = request
        self.lines = lines
        requester = Requester(user: request.user)
        self.connection = CountedConnection(connection)
        response = Response(to: request, on: self.connection)
        lastMark = start
        log = lines.log
        log[metadataKey: "request.id"] = "\(request.identifier)"
        if !request.address.isEmpty { log[metadataKey: "client.address"] = "\(request.address)" }
    }

    /// Records the route and the repository.
    func take(_ route: RouteName, of repository: RepositoryName) {
        self.route = route
        log[metadataKey: "repo.name"] = "\(repository)"
    }

    /// Records that a fetch requests only refs.
    func isLsRefs() { route = .lsRefs }

    /// Records git's messages to the client of a push, which contain its reasons.
    func hear(_ words: ArraySlice<UInt8>) {
        self.words = Array((self.words + words).suffix(GitWords.limit))
    }

    /// Ends a phase, which began at the end of the last one.
    func mark(_ phase: Phase) {
        let now = ContinuousClock.now
        times[phase, default: .zero] += now - lastMark
        lastMark = now
    }

    /// Records the error that ended the request, and its answer, even if that is too late to be
    /// sent. Only the first error counts: later ones, such as a client that has disconnected,
    /// follow from it.
    func fail(_ error: any Error, _ answer: ErrorAnswer) {
        if failure == nil { failure = (error, answer) }
    }

    /// Records an error after the answer has begun.
    func fail(_ error: any Error) {
        fail(error, ErrorTable.answer(to: error))
    }

    /// The key of the user.
    private var userKey: String {
        route == .push ? "push.user" : "request.user"
    }

    /// Writes the request's only line.
    func end() {
        var fields: Logger.Metadata = [
            "request.route": "\(route.rawValue)",
            "request.bytes": "\(connection.received)",
            "response.bytes": "\(response.bytes)",
            "store.requests": "\(meter.requests)",
            "cache.hits": "\(meter.cacheHits)",
            "time.total": "\(Self.seconds(.now - start))",
        ]
        for (phase, time) in times { fields["time.\(phase.rawValue)"] = "\(Self.seconds(time))" }
        if let user = request.user { fields[userKey] = "\(user)" }
        if route == .none {
            fields["request.method"] = "\(request.method)"
            fields["request.path"] = "\(request.path)"
        }
        if let refusal {
            fields["push.refusal"] = "\(refusal)"
            let complaint = GitWords(toClient: words)
            if !isPublished, !complaint.isEmpty { fields["error"] = "\(complaint.text)" }
        }
        let status = failure?.answer.status ?? response.status
        if let status { fields["http.status"] = "\(status)" }
        if let failure { fields["error"] = "\(failure.error)" }
        lines.write(outcome(status), by: request.user, fields, log)
    }

    private func outcome(_ status: Int?) -> RequestLines.Outcome {
        switch failure?.answer.severity {
        case .failed: .failed
        case .refused: .refused(status: status ?? 0)
        case nil where refusal != nil && !isPublished: .refused(status: status ?? 0)
        case nil: isProbe ? .probed : .served
        }
    }

    /// Seconds with three decimals.
    private static func seconds(_ time: Duration) -> String {
        let (seconds, attoseconds) = time.components
        let thousandths = "\(attoseconds / 1_000_000_000_000_000)"
        return "\(seconds)." + String(repeating: "0", count: 3 - thousandths.count) + thousandths
    }
}

/// Writes the log's lines about requests, one for each.
struct RequestLines: Sendable {
    let log: Logger
    /// The log level of a request that was served.
    let served: Logger.Level
    private let servedLimiter = LineLimiter(perSecond: 100)
    private let otherLimiter = LineLimiter(perSecond: 20)

    init(log: Logger, served: Logger.Level) {
        self.log = log
        self.served = served
    }

    /// How a request ended.
    enum Outcome {
        case served, probed
        case refused(status: Int)
        case failed
    }

    /// Writes a request's line. The rate of lines that anyone can cause is limited, unless everything
    /// is logged: otherwise journald would drop other lines with them.
    func write(_ outcome: Outcome, by user: String?, _ fields: Logger.Metadata, _ log: Logger) {
        let level: Logger.Level
        let message: Logger.Message
        let limiter: LineLimiter
        switch outcome {
        case .served: (level, message, limiter) = (served, "request served", servedLimiter)
        case .probed: (level, message, limiter) = (.debug, "request served", servedLimiter)
        case .refused(let status):
            // Refusals of anonymous requests are in the web server's log, if needed.
            let isClients = user == nil && (400..<500).contains(status)
            (level, message, limiter) = (
                isClients ? .debug : .info, "request refused", otherLimiter
            )
        case .failed: (level, message, limiter) = (.error, "request failed", otherLimiter)
        }
        guard log.logLevel <= level else { return }
        var fields = fields
        if user == nil, log.logLevel > .debug {
            guard let suppressed = limiter.admit() else { return }
            if suppressed > 0 { fields["log.suppressed"] = "\(suppressed)" }
        }
        log.log(level: level, message, metadata: fields)
    }
}
