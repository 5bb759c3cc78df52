import Bytes
import Posix
import Synchronization

/// Finds out what a backend checks of a body, and whether it satisfies the axioms, by racing it:
/// sequential rules, If-Match races, create races, ETag consistency.
///
/// It uses the operations that reads and pushes use, on keys of its own, and removes those
/// afterwards as far as it can. It cannot prove that a backend conforms; it finds those that plainly
/// do not.
package struct ConformanceProbe: Sendable {
    /// Raised when what is probed changes: older admissions count no more.
    package static let version = 2

    /// Writers in each race.
    package var width: Int
    /// Races of each kind.
    package var rounds: Int

    package init(width: Int = 32, rounds: Int = 3) {
        self.width = width
        self.rounds = rounds
    }

    /// Probes a store.
    ///
    /// What the backend checks is found first, so that the phases run as pushes will: with the
    /// headers that are sent then. A backend that refuses its own current token in If-Match may
    /// accept it without the quotes: it is then sent the bare form, and must pass every phase with
    /// it.
    ///
    /// - Returns: the store to use, which speaks the dialect found, and the report.
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

/// One run through the four phases, in one dialect.
final class ProbeRun: Sendable {
    enum Verdict {
        case admitted(ProbeReport)
        /// If-Match with the current token was refused, and the object was unchanged.
        case ownTokenRefused(ProbeFailure)
    }

    let store: any ObjectStore
    let width: Int
    let rounds: Int
    /// Sets this run's keys apart from all others'.
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

    /// A key that was never used. `name`: letters, digits and dashes.
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

    /// What cannot be removed stays: it is small, and harms nothing.
    func removeKeys() {
        let keys = state.withLock { $0.keys }
        _ = store.perform(keys.map { StoreRequest.delete($0) })
    }
}

/// Where the probe is, for its failures.
struct ProbeStep: Sendable {
    let phase: ProbeFailure.Phase
    let round: Int
    let key: ObjectKey
}
