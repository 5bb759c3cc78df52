import Bytes
import Glibc
import Posix

/// The records of one store in a state directory: one file, one lock.
struct AdmissionRecords: Sendable {
    private let directory: String
    private let location: String

    init(stateDirectory: String, location: String) {
        directory = stateDirectory + "/admission"
        self.location = location
    }

    private var path: String { directory + "/" + Digest(of: Array(location.utf8)).hex }

    /// The record; nil if there is none, or if it is damaged, of another version, expired, or from
    /// the future.
    func read(atLeast probe: ConformanceProbe) -> ProbeReport? {
        let bytes: [UInt8]
        do {
            bytes = try Files.read(path, limit: 1 << 16)
        } catch {
            // Whatever the reason is, a store without a record is probed.
            return nil
        }
        guard let record = AdmissionRecord(bytes, location: location),
            record.report.width >= probe.width, record.report.rounds >= probe.rounds
        else { return nil }
        let age = Duration.seconds(time(nil) - record.admitted)
        guard age >= .zero, age < Admission.lifetime else { return nil }
        return record.report
    }

    /// Writes the record under another name and renames it, so that readers see a complete record
    /// or none. It is not synced, since losing it only costs a probe.
    func write(_ report: ProbeReport) throws(StoreError) {
        let record = AdmissionRecord(location: location, admitted: time(nil), report: report)
        let draft = path + "." + Hex.random(bytes: 8)
        do {
            // The state directory may have been cleared during the probe.
            try Files.makeDirectories(directory)
            try Files.write(record.bytes, to: draft)
            try check("rename", path) { rename(draft, path) }
        } catch {
            _ = unlink(draft)
            throw refusal(error)
        }
    }

    /// Waits for the right to probe this store. The file of the lock stays.
    func lock() throws(StoreError) -> FileLock {
        do {
            try Files.makeDirectories(directory)
            return try FileLock.wait(for: path + ".lock")
        } catch {
            throw refusal(error)
        }
    }

    private func refusal(_ error: SystemError) -> StoreError {
        .misconfigured(
            "Could not record the probe result of '\(location)' in '\(directory)': \(error). "
                + "Make the state directory writable for the user that this runs as.")
    }
}
