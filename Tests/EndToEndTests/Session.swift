import Posix
import Synchronization
import TestSupport
import Testing

/// The fronts, shortly.
let fronts = Front.distinct

/// One server, and all that git's client shows and does before it, in words that do not depend on
/// where the server is.
final class Session {
    let host: any GitHost
    private(set) var transcript: [String] = []

    init(_ host: any GitHost) { self.host = host }

    /// A repository that has ``History``, for a test that changes it.
    func publish() throws -> String { try History.shared.get().publish(to: host) }

    /// The same for a test that only reads.
    func published() throws -> String { try History.shared.get().published(on: host) }

    /// Notes a value.
    func note(_ name: String, _ value: some CustomStringConvertible) {
        transcript.append("\(name): \(Self.plain("\(value)", host))")
    }

    /// Clones as `alice`, which must succeed, and notes it.
    func clone(_ repository: String, _ options: String...) throws -> WorkTree {
        let (tree, run) = try attemptClone(repository, options)
        try run.result.checked()
        return tree
    }

    /// Clones as `alice`, however it ends, and notes it.
    func attemptClone(
        _ repository: String, _ options: [String]
    ) throws -> (WorkTree, TracedRun) {
        let (tree, run) = try WorkTree.tracedClone(host.url(repository), options)
        note(run, ["clone"] + options, tree)
        return (tree, run)
    }

    /// Runs git, which must succeed, and notes it.
    @discardableResult
    func git(
        _ tree: WorkTree, _ arguments: String..., environment: [String: String] = [:]
    ) throws -> TracedRun {
        let run = try tree.client.traced(arguments, in: tree.path, environment: environment)
        note(run, arguments, tree)
        try run.result.checked()
        return run
    }

    /// Runs git, however it ends, and notes it.
    @discardableResult
    func attempt(_ tree: WorkTree, _ arguments: String...) throws -> TracedRun {
        let run = try tree.client.traced(arguments, in: tree.path)
        note(run, arguments, tree)
        return run
    }

    /// A run's requests, without what stands before the repository's own paths.
    func requests(_ run: TracedRun) -> [String] { run.requests.map { Self.plain($0, host) } }

    /// Notes what a run of git did.
    func note(_ run: TracedRun, _ arguments: [String], _ tree: WorkTree) {
        func plain(_ text: some StringProtocol) -> String {
            Self.plain(String(text).replacing(tree.path, with: "TREE"), host)
        }
        transcript.append("$ git " + plain(arguments.joined(separator: " ")))
        transcript += run.requests.map { plain($0) }
        transcript += run.text.split(separator: "\n").map { "| " + plain($0) }
        // What the server says and what the client does come by two ways, in no sure order.
        transcript += run.errors.split { $0 == "\n" || $0 == "\r" || $0 == "\r\n" }
            .compactMap { Self.message(plain($0)).map { "! " + $0 } }.sorted()
        transcript.append("= \(run.result.ending)")
    }

    /// A line of a client's standard error; nil for progress that is not over. How large and how
    /// fast something was, and how the server packed it, is left out.
    private static func message(_ line: String) -> String? {
        var line = line.replacing(/\ +$/, with: "").replacing(/\x1b\[K/, with: "")
        if line.firstMatch(of: /[0-9]+%|objects: [0-9]+$/) != nil, !line.hasSuffix("done.") {
            return nil
        }
        line.replace(/,\ [0-9.]+\ [KMG]?i?[Bb](ytes)?\ .*done/, with: ", done")
        line.replace(/(Total\ [0-9]+)\ .*/) { "\($0.output.1)" }
        return passing.contains { line.contains($0) } ? nil : line
    }

    /// Progress that is shown only where git's server chose to make deltas, or where it takes long.
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

/// Runs `body` before a front and before `git http-backend`, with its expectations, and expects
/// that the client is shown, and asks for, the same.
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

/// What was seen before `git http-backend`.
private let transcripts = Mutex<[String: [String]]>([:])
