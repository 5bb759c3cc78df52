import Bytes
import Posix
import Synchronization

/// A test of a backend: which checks of a body it supports, and whether it satisfies the required
/// guarantees (sequential rules, If-Match races, create races, consistent ETags).
///
/// It uses the operations that reads and pushes use, on keys of its own, and removes these objects
/// afterwards if it can. It cannot prove that a backend conforms; it detects those that visibly do
/// not.
package struct ConformanceProbe: Sendable {
    /// The version of the probe, raised when its steps change, so that older admissions expire.
    package static let version = 2

    /// The number of writers in each race.
    package var width: Int
    /// The number of races of each kind.
    package var rounds: Int

    package init(width: Int = 32, rounds: Int = 3) {
        self.width = width
        self.rounds = rounds
    }

    /// Probes a store.
    ///
    /// The supported checks are detected first, so that the phases use the headers that pushes will
    /// send. A backend that refuses its own current token in If-Match may accept it without the
    /// quotes. It is then sent the bare form, and must pass every phase with it.
    ///
    /// - Returns: the store to use, in the detected dialect, and the report.
    /// - Throws: ``ProbeFailure``.
    package func run(
        on store: any ObjectStore
    ) throws(ProbeFailure) -> (store: any ObjectStore, report: ProbeReport) {
        let finder = ProbeRun(store, width: width, rounds: rounds)
        let found = try finder.findBodyChecks().union(
            store.dialect.intersection(.bareETags))
        let spoken = store.speaking(found) ?? store
        let first = ProbeRun(
            spoken, width: width, rounds: rounds, transportDrops: finder.transportDrops)
        switch try first.result() {
        case .admitted(let report): return (spoken, report)
        case .ownTokenRefused(let failure):
            guard !spoken.dialect.contains(.bareETags),
                let bare = spoken.speaking(spoken.dialect.union(.bareETags))
            else { throw failure }
            let second = ProbeRun(
                bare, width: width, rounds: rounds, transportDrops: first.transportDrops)
            switch try second.result() {
            case .admitted(let report): return (bare, report)
            case .ownTokenRefused(let failure): throw failure
            }
        }
    }
}

/// A run through the four phases, in one dialect.
final class ProbeRun: Sendable {
    enum Verdict {
        case admitted(ProbeReport)
        /// The backend refused If-Match with the current token, although the object was unchanged.
        case ownTokenRefused(ProbeFailure)
    }

    let store: any ObjectStore
    let width: Int
    let rounds: Int
    /// Distinguishes the keys of this run from those of all others.
    private let identifier = Hex.random(bytes: 8)
    private let state: Mutex<State>

    private struct State {
        var transportDrops: Int
        var keys: [ObjectKey] = []
    }

    init(
        _ store: any ObjectStore, width: Int, rounds: Int, transportDrops: Int = 0
    ) {
        self.store = store
        self.width = width
        self.rounds = rounds
        state = Mutex(State(transportDrops: transportDrops))
    }

    var transportDrops: Int { state.withLock { $0.transportDrops } }

    func result() throws(ProbeFailure) -> Verdict {
        defer { removeKeys() }

        if let refusal = try checkSequentialRules() { return .ownTokenRefused(refusal) }
        try checkRaces(.ifMatchRace)
        try checkRaces(.createRace)
        try checkETagConsistency()
        return .admitted(
            ProbeReport(
                width: width, rounds: rounds, transportDrops: transportDrops,
                dialect: store.dialect, servers: store.servers))
    }

    /// Counts a request that failed in transport.
    func countDrop() {
        state.withLock { $0.transportDrops += 1 }
    }

    /// Returns a key that was never used.
    ///
    /// - Parameter name: letters, digits and dashes.
    func freshKey(_ name: String) -> ObjectKey {
        state.withLock { state in
            let key = ObjectKey.probe(run: identifier, name: "\(name)-\(state.keys.count)")
            state.keys.append(key)
            return key
        }
    }

    func failure(_ step: ProbeStep, _ reason: String) -> ProbeFailure {
        ProbeFailure(
            location: store.location, phase: step.phase, round: step.round, key: step.key.path,
            reason: reason)
    }

    /// Removes the objects of this run. One that cannot be removed stays; it is small and harmless.
    func removeKeys() {
        let keys = state.withLock { $0.keys }
        _ = store.perform(keys.map { StoreRequest.delete($0) })
    }
}

/// The current position of the probe, for its failures.
struct ProbeStep: Sendable {
    let phase: ProbeFailure.Phase
    let round: Int
    let key: ObjectKey
}

/// The results of the probe of an admitted store.
package struct ProbeReport: Hashable, Sendable, CustomStringConvertible {
    /// The number of writers in each race.
    package let width: Int
    /// The number of races of each kind.
    package let rounds: Int
    /// The number of requests that failed in transport, so that they tested nothing.
    package let transportDrops: Int
    package let dialect: Dialect
    /// The server software that answered.
    package let servers: ServerNames

    package init(
        width: Int, rounds: Int, transportDrops: Int, dialect: Dialect,
        servers: ServerNames = ServerNames()
    ) {
        self.width = width
        self.rounds = rounds
        self.transportDrops = transportDrops
        self.dialect = dialect
        self.servers = servers
    }

    package var description: String {
        let form = dialect.contains(.bareETags) ? "bare" : "quoted"
        let text =
            "width \(width), rounds \(rounds), transportDrops \(transportDrops), ETags \(form), "
            + "body checks: \(bodyChecks)"
        return servers.isEmpty ? text : text + ", server: \(servers)"
    }

    private var bodyChecks: String {
        let names: [(Dialect, String)] = [
            (.checksSHA256, "x-amz-checksum-sha256"), (.keepsSHA256, "SHA-256 in HEAD"),
            (.checksMD5, "Content-MD5"), (.etagIsMD5, "MD5 ETag"), (.hashesItself, "its own"),
        ]
        let found = names.filter { dialect.contains($0.0) }.map(\.1)
        return found.isEmpty ? "none" : found.joined(separator: ", ")
    }
}

/// Why a store is not admitted.
package struct ProbeFailure: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Phase: String, Sendable {
        case sequential
        case ifMatchRace = "If-Match race"
        case createRace = "create race"
        case etagConsistency = "ETag consistency"
    }

    /// `s3://bucket/prefix`.
    package let location: String
    package let phase: Phase
    /// The round, counted from 1.
    package let round: Int
    package let key: String
    package let reason: String

    package var description: String {
        "The store '\(location)' failed the conformance probe: \(phase.rawValue), round \(round), "
            + "key '\(key)': \(reason)."
    }
}
