import Posix
import Synchronization
import TestSupport
import Testing

/// Shorthand for the fronts.
let fronts = Front.distinct

/// One server, and everything that git's client prints and requests, in words that do not depend on
/// the server's address.
final class Session {
    let host: any GitHost
    private(set) var transcript: [String] = []

    init(_ host: any GitHost) { self.host = host }

    /// A repository that has ``History``, for a test that changes it.
    func publish() throws -> String { try History.shared.get().publish(to: host) }

    /// The same, for a test that only reads.
    func published() throws -> String { try History.shared.get().published(on: host) }

    /// Adds a value to the transcript.
    func note(_ name: String, _ value: some CustomStringConvertible) {
        transcript.append("\(name): \(Self.plain("\(value)", host))")
    }

    /// Clones as `alice`, which must succeed, and adds the run to the transcript.
    func clone(_ repository: String, _ options: String...) throws -> WorkTree {
        let (tree, run) = try attemptClone(repository, options)
        try run.result.checked()
        return tree
    }

    /// Clones as `alice`, whether or not it succeeds, and adds the run to the transcript.
    func attemptClone(
        _ repository: String, _ options: [String]
    ) throws -> (WorkTree, TracedRun) {
        let (tree, run) = try WorkTree.tracedClone(host.url(repository), options)
        note(run, ["clone"] + options, tree)
        return (tree, run)
    }

    /// Runs git, which must succeed, and adds the run to the transcript.
    @discardableResult
    func git(
        _ tree: WorkTree, _ arguments: String..., environment: [String: String] = [:]
    ) throws -> TracedRun {
        let run = try tree.client.traced(arguments, in: tree.path, environment: environment)
        note(run, arguments, tree)
        try run.result.checked()
        return run
    }

    /// Runs git, whether or not it succeeds, and adds the run to the transcript.
    @discardableResult
    func attempt(_ tree: WorkTree, _ arguments: String...) throws -> TracedRun {
        let run = try tree.client.traced(arguments, in: tree.path)
        note(run, arguments, tree)
        return run
    }

    /// The requests of a run, without the part of their URLs that precedes the repository's paths.
    func requests(_ run: TracedRun) -> [String] { run.requests.map { Self.plain($0, host) } }

    /// Adds a run of git to the transcript.
    func note(_ run: TracedRun, _ arguments: [String], _ tree: WorkTree) {
        func plain(_ text: some StringProtocol) -> String {
            Self.plain(String(text).replacing(tree.path, with: "TREE"), host)
        }
        transcript.append("$ git " + plain(arguments.joined(separator: " ")))
        transcript += run.requests.map { plain($0) }
        transcript += run.text.split(separator: "\n").map { "| " + plain($0) }
        // The messages of the server and of the client arrive separately, in no fixed order.
        transcript += run.errors.split { $0 == "\n" || $0 == "\r" || $0 == "\r\n" }
            .compactMap { Self.message(plain($0)).map { "! " + $0 } }.sorted()
        transcript.append("= \(run.result.ending)")
    }

    /// A line of a client's standard error; nil for unfinished progress. Sizes, speeds and details
    /// of how the server packed objects are left out.
    private static func message(_ line: String) -> String? {
        var line = line.replacing(/\ +$/, with: "").replacing(/\x1b\[K/, with: "")
        if line.firstMatch(of: /[0-9]+%|objects: [0-9]+$/) != nil, !line.hasSuffix("done.") {
            return nil
        }
        line.replace(/,\ [0-9.]+\ [KMG]?i?[Bb](ytes)?\ .*done/, with: ", done")
        line.replace(/(Total\ [0-9]+)\ .*/) { "\($0.output.1)" }
        return passing.contains { line.contains($0) } ? nil : line
    }

    /// Progress that is shown only if git's server creates deltas, or if it takes long.
    private static let passing = [
        "deltas: ", "Compressing objects", "Checking connectivity", "Updating files",
    ]

    private static func plain(_ text: some StringProtocol, _ host: any GitHost) -> String {
        String(text).replacing("127.0.0.1:\(host.port)", with: "HOST")
            .replacing("alice:wonderland@", with: "").replacing("alice@", with: "")
            .replacing(/\/git\/team\/r-[0-9a-f]+\.git\//, with: "")
            .replacing(/team\/r-[0-9a-f]+/, with: "REPO")
    }
}

/// Runs `body` with its expectations on a front and on `git http-backend`, and expects that the
/// client prints and requests the same.
///
/// - Parameter variant: distinguishes the cases of one function.
func sameAsGit(
    _ front: Front, _ variant: String = "", function: String = #function,
    sourceLocation: SourceLocation = #_sourceLocation, _ body: (Session) throws -> Void
) throws {
    let key = "\(sourceLocation.fileID) \(function) \(variant)"
    let expected: [String]
    if let known = transcripts.withLock({ $0[key] }) {
        expected = known
    } else {
        let session = Session(try HTTPBackendSite.shared())
        try body(session)
        expected = session.transcript
        transcripts.withLock { $0[key] = expected }
    }
    let session = Session(try front.shared())
    try body(session)
    let difference = session.transcript.difference(from: expected).map { change in
        switch change {
        case .insert(_, let line, _): "ours: \(line)"
        case .remove(_, let line, _): "git's: \(line)"
        }
    }
    #expect(
        difference.isEmpty, "\(difference.joined(separator: "\n"))", sourceLocation: sourceLocation)
}

/// The transcripts of `git http-backend`.
private let transcripts = Mutex<[String: [String]]>([:])
