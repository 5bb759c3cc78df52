/// A store that may be used: it passed the probe, now or not long ago.
package struct Admission: Sendable {
    /// The one to use: it speaks the dialect that the probe found, and is probed again before a
    /// write where other server software has answered since.
    package let store: any ObjectStore
    package let report: ProbeReport
    package let source: Source

    /// Where the verdict comes from.
    package enum Source: Sendable { case record, probe }

    /// What happens to an admission while it is used.
    package enum Change: Sendable {
        /// Server software that the record does not know has answered: writes wait for a probe.
        case unknownServer(ServerNames)
        /// The store passed the probe again.
        case passed(ProbeReport)
        /// It failed: writes are refused until it passes.
        case failed(reason: String)
    }

    /// How long a verdict counts: backends are upgraded.
    package static let lifetime = Duration.seconds(7 * 24 * 60 * 60)

    /// Admits a store, by its record or by probing it.
    ///
    /// Of processes that share the state directory one probes, and the others wait for its record.
    ///
    /// - Parameters:
    ///   - stateDirectory: created if it does not exist.
    ///   - probe: a record of a narrower or shorter probe does not count.
    ///   - pause: how long writes are refused without another probe after one has failed.
    ///   - onChange: called when the backend turns out to have been replaced.
    /// - Throws: ``ProbeFailure`` where the store is refused, ``StoreError/misconfigured(_:)`` where
    ///   the record cannot be kept.
    package static func admit(
        _ store: any ObjectStore, stateDirectory: String,
        probe: ConformanceProbe = ConformanceProbe(), pause: Duration = .seconds(60),
        onChange: @escaping @Sendable (Change) -> Void = { _ in }
    ) throws -> Admission {
        let admitter = Admitter(store: store, stateDirectory: stateDirectory, probe: probe)
        let verdict = try admitter.verdict(on: store.servers)
        // A store without a server cannot be replaced unnoticed by this process.
        let admitted: any ObjectStore =
            verdict.report.servers.isEmpty
            ? verdict.store : AdmittedStore(verdict, by: admitter, pause: pause, onChange)
        return Admission(store: admitted, report: verdict.report, source: verdict.source)
    }
}

/// Finds a verdict on one store: in its record, or by probing it.
struct Admitter: Sendable {
    /// As it was opened, before anything was known of it.
    let store: any ObjectStore
    let probe: ConformanceProbe
    private let records: AdmissionRecords

    /// The store to use, and why it may be.
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

    /// A verdict on the store as it answers now.
    ///
    /// - Parameter seen: the server software that has answered. A record that does not have all of
    ///   it is none.
    func verdict(on seen: ServerNames) throws -> Verdict {
        if let verdict = recorded(seen) { return verdict }

        let lock = try records.lock()
        // The previous holder of the lock may have probed this store.
        if let verdict = recorded(seen) { return verdict }

        // What answered before did not pass this probe: it may have failed an earlier one.
        let (admitted, found) = try probe.run(on: store.watchingAnew())
        // Behind a load balancer, and during an upgrade, several answer in turn: those that passed
        // within the record's lifetime stay known.
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
