import Posix
import Synchronization

/// Finds out whether a backend satisfies the axioms, by racing it: sequential rules, If-Match
/// races, create races, ETag consistency.
///
/// It uses the operations that reads and pushes use, on keys of its own, and removes those
/// afterwards as far as it can. It cannot prove that a backend conforms; it finds those that plainly
/// do not.
package struct ConformanceProbe: Sendable {
    /// Raised when what is probed changes: older admissions count no more.
    package static let version = 1

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
    /// A backend that refuses its own current token in If-Match may take it without the quotes: it
    /// is then sent the bare form, and must pass every phase with it.
    ///
    /// - Returns: the store to use, which is another for bare ETags, and the report.
    /// - Throws: ``ProbeFailure``.
    package func run(
        on store: any ObjectStore
    ) throws(ProbeFailure) -> (store: any ObjectStore, report: ProbeReport) {
        let first = ProbeRun(store, width: width, rounds: rounds, etagForm: .quoted)
        switch try first.result() {
        case .admitted(let report): return (store, report)
        case .ownTokenRefused(let failure):
            guard let bareStore = store.sendingBareETags() else { throw failure }
            let second = ProbeRun(
                bareStore, width: width, rounds: rounds, etagForm: .bare,
                transportDrops: first.transportDrops)
            switch try second.result() {
            case .admitted(let report): return (bareStore, report)
            case .ownTokenRefused(let failure): throw failure
            }
        }
    }
}

/// One run through the four phases with one form of ETags.
final class ProbeRun: Sendable {
    enum Verdict {
        case admitted(ProbeReport)
        /// If-Match with the current token was refused, and the object was unchanged.
        case ownTokenRefused(ProbeFailure)
    }

    let store: any ObjectStore
    let width: Int
    let rounds: Int
    private let etagForm: ETagForm
    /// Sets this run's keys apart from all others'.
    private let identifier = randomHex(bytes: 8)
    private let state: Mutex<State>

    private struct State {
        var transportDrops: Int
        var keys: [ObjectKey] = []
    }

    init(
        _ store: any ObjectStore, width: Int, rounds: Int, etagForm: ETagForm,
        transportDrops: Int = 0
    ) {
        self.store = store
        self.width = width
        self.rounds = rounds
        self.etagForm = etagForm
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
                width: width, rounds: rounds, transportDrops: transportDrops, etagForm: etagForm))
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
    private func removeKeys() {
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
