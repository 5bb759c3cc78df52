import Glibc
import Posix

/// A store that may be used: it passed the probe, now or not long ago.
package struct Admission: Sendable {
    /// The one to use: the store given, or its form with bare ETags.
    package let store: any ObjectStore
    package let report: ProbeReport
    package let source: Source

    /// Where the verdict comes from.
    package enum Source: Sendable { case record, probe }

    /// How long a verdict counts: backends are upgraded.
    package static let lifetime = Duration.seconds(7 * 24 * 60 * 60)

    /// Admits a store, by its record or by probing it.
    ///
    /// Of processes that share the state directory one probes, and the others wait for its record.
    ///
    /// - Parameters:
    ///   - stateDirectory: made if it is not there.
    ///   - probe: a record of a narrower or shorter probe does not count.
    /// - Throws: ``ProbeFailure`` where the store is refused, ``StoreError/misconfigured(_:)`` where
    ///   the record cannot be kept.
    package static func admit(
        _ store: any ObjectStore, stateDirectory: String,
        probe: ConformanceProbe = ConformanceProbe()
    ) throws -> Admission {
        let records = AdmissionRecords(stateDirectory: stateDirectory, location: store.location)
        if let admission = records.admission(of: store, atLeast: probe) { return admission }

        let lock = try records.lock()
        // Whoever had the lock before may have probed this very store.
        if let admission = records.admission(of: store, atLeast: probe) { return admission }

        let (admitted, report) = try probe.run(on: store)
        try records.write(report)
        lock.release()
        return Admission(store: admitted, report: report, source: .probe)
    }
}

/// The records of one store in a state directory: one file, one lock.
private struct AdmissionRecords {
    let directory: String
    let location: String

    init(stateDirectory: String, location: String) {
        directory = stateDirectory + "/admission"
        self.location = location
    }

    private var path: String { directory + "/" + Digest(of: Array(location.utf8)).hex }

    /// nil: no record, a damaged one, one of another version, an old one, one from the future.
    func admission(of store: any ObjectStore, atLeast probe: ConformanceProbe) -> Admission? {
        let bytes: [UInt8]
        do {
            bytes = try Files.read(path, limit: 1 << 16)
        } catch {
            // Whatever stands in the way of reading it: without a record there is a probe.
            return nil
        }
        guard let record = AdmissionRecord(bytes, location: location),
            record.report.width >= probe.width, record.report.rounds >= probe.rounds
        else { return nil }
        let age = Duration.seconds(time(nil) - record.admitted)
        guard age >= .zero, age < Admission.lifetime else { return nil }
        switch record.report.etagForm {
        case .quoted: return Admission(store: store, report: record.report, source: .record)
        case .bare:
            guard let bare = store.sendingBareETags() else { return nil }
            return Admission(store: bare, report: record.report, source: .record)
        }
    }

    /// Written under another name and renamed: a reader sees a whole record or none. Not synced:
    /// losing it costs a probe.
    func write(_ report: ProbeReport) throws(StoreError) {
        let record = AdmissionRecord(location: location, admitted: time(nil), report: report)
        let draft = path + "." + randomHex(bytes: 8)
        do {
            // Somebody may have cleared the state directory during the probe.
            try Files.makeDirectories(directory)
            try Files.write(record.bytes, to: draft)
            try check("rename", path) { rename(draft, path) }
        } catch {
            _ = unlink(draft)
            throw refusal(error)
        }
    }

    /// Waits for the right to probe this store. The lock's file stays.
    func lock() throws(StoreError) -> ProbeLock {
        do {
            try Files.makeDirectories(directory)
            let file = try OwnedDescriptor.open(path + ".lock", O_RDWR | O_CREAT)
            _ = try Files.lock(file.raw, waiting: .untilFree, path + ".lock")
            return ProbeLock(file: file)
        } catch {
            throw refusal(error)
        }
    }

    private func refusal(_ error: SystemError) -> StoreError {
        .misconfigured(
            "Could not keep the admission of '\(location)' in '\(directory)': \(error). "
                + "Give the user that this runs as write access to the state directory.")
    }
}

/// The right to probe one store; given up when it goes.
private struct ProbeLock: ~Copyable {
    let file: OwnedDescriptor

    consuming func release() {}
}
