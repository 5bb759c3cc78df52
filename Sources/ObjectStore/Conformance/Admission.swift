import Posix

/// A store that may be used because it has passed the probe, now or recently.
package struct Admission: Sendable {
    /// The store to use. It speaks the detected dialect, and is probed again before a write if
    /// other server software has answered since.
    package let store: any ObjectStore
    package let report: ProbeReport
    package let source: Source

    /// The origin of the verdict.
    package enum Source: Sendable { case record, probe }

    /// A change of the admission while it is used.
    package enum Change: Sendable {
        /// Server software that is not in the record has answered, so writes wait for a probe.
        case unknownServer(ServerNames)
        /// The store passed the probe again.
        case passed(ProbeReport)
        /// It failed the probe: writes are refused until it passes.
        case failed(reason: String)
    }

    /// How long a verdict is valid. It expires because backends are upgraded.
    package static let lifetime = Duration.seconds(7 * 24 * 60 * 60)

    /// Admits a store, by its record or by probing it.
    ///
    /// If several processes share the state directory, one probes and the others wait for its
    /// record.
    ///
    /// - Parameters:
    ///   - stateDirectory: created if it does not exist.
    ///   - probe: the probe; records of narrower or shorter ones are ignored.
    ///   - pause: how long writes are refused after a failed probe before the next one.
    ///   - onChange: called when the backend was replaced.
    /// - Throws: ``ProbeFailure`` if the store is rejected, ``StoreError/misconfigured(_:)`` if the
    ///   record cannot be stored.
    package static func admit(
        _ store: any ObjectStore, stateDirectory: String,
        probe: ConformanceProbe = ConformanceProbe(), pause: Duration = .seconds(60),
        onChange: @escaping @Sendable (Change) -> Void = { _ in }
    ) throws -> Admission {
        let admitter = Admitter(store: store, stateDirectory: stateDirectory, probe: probe)
        let verdict = try admitter.verdict(on: store.servers)
        // A store without a server cannot be replaced without this process noticing.
        let admitted: any ObjectStore =
            verdict.report.servers.isEmpty
            ? verdict.store : AdmittedStore(verdict, by: admitter, pause: pause, onChange)
        return Admission(store: admitted, report: verdict.report, source: verdict.source)
    }
}

/// The admission of one store, by its record or by probing it.
struct Admitter: Sendable {
    /// The store as it was opened, before anything was known about it.
    let store: any ObjectStore
    let probe: ConformanceProbe
    private let records: AdmissionRecords

    /// The store to use, and why it may be used.
    struct Verdict: Sendable {
        let store: any ObjectStore
        let report: ProbeReport
        let source: Admission.Source
    }

    init(store: any ObjectStore, stateDirectory: String, probe: ConformanceProbe) {
        self.store = store
        self.probe = probe
        records = AdmissionRecords(stateDirectory: stateDirectory, location: store.location)
    }

    /// Returns a verdict on the store as it answers now.
    ///
    /// - Parameter seen: the server software that has answered. A record that lacks some of it is
    ///   ignored.
    func verdict(on seen: ServerNames) throws -> Verdict {
        if let verdict = recorded(seen) { return verdict }

        let lock = try records.lock()
        // The previous holder of the lock may have probed this store.
        if let verdict = recorded(seen) { return verdict }

        // Server software that answered before did not pass this probe; it may have failed an
        // earlier one.
        let (admitted, found) = try probe.run(on: store.watchingAnew())
        // Behind a load balancer, and during an upgrade, several servers answer in turn. Those that
        // passed within the record's lifetime stay known.
        let former = records.read(atLeast: probe)?.servers ?? ServerNames()
        let report = ProbeReport(
            width: found.width, rounds: found.rounds, transportDrops: found.transportDrops,
            dialect: found.dialect, servers: found.servers.union(former))
        try records.write(report)
        lock.release()
        return Verdict(store: admitted, report: report, source: .probe)
    }

    private func recorded(_ seen: ServerNames) -> Verdict? {
        guard let report = records.read(atLeast: probe), report.servers.cover(seen),
            let spoken = store.watchingAnew().speaking(report.dialect)
        else { return nil }
        return Verdict(store: spoken, report: report, source: .record)
    }
}
