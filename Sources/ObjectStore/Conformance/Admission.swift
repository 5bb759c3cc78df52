import Bytes
import Glibc
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

/// The record of an admitted store: what the probe detected, and which server software answered. It
/// is stored in the state directory, so that not every start probes again.
struct AdmissionRecord: Equatable, Sendable {
    /// The store's own description, which contains the endpoint and other relevant settings.
    let location: String
    /// Seconds since 1970.
    let admitted: Int
    let report: ProbeReport

    private static var title: String { "git-s3-backend admission \(ConformanceProbe.version)" }

    /// The record's text. A location with a line break is represented by its digest.
    var bytes: [UInt8] {
        let digest = Digest(of: Array(location.utf8))
        let shown = String(
            decoding: location.utf8.map { $0 < 0x20 || $0 == 0x7f ? UInt8(ascii: "?") : $0 },
            as: UTF8.self)
        let lines =
            [
                Self.title,
                "store \(shown)",
                "store-sha256 \(digest)",
                "admitted \(admitted)",
                (["dialect"] + report.dialect.words).joined(separator: " "),
            ] + Self.lines(of: report.servers) + [
                "width \(report.width)",
                "rounds \(report.rounds)",
                "transport-drops \(report.transportDrops)",
            ]
        return lines.flatMap { Array($0.utf8) + [UInt8(ascii: "\n")] }
    }

    init(location: String, admitted: Int, report: ProbeReport) {
        self.location = location
        self.admitted = admitted
        self.report = report
    }

    /// Parses a record's text; nil unless it is exactly what this version writes for this store.
    init?(_ bytes: [UInt8], location: String) {
        let lines = bytes.split(separator: UInt8(ascii: "\n")).map {
            String(decoding: $0, as: UTF8.self)
        }
        guard lines.count >= 8, let admitted = Self.number(lines[3], "admitted "),
            lines[4].hasPrefix("dialect"),
            let dialect = Dialect(words: lines[4].split(separator: " ").dropFirst()),
            let servers = Self.servers(in: lines[5..<(lines.count - 3)]),
            let width = Self.number(lines[lines.count - 3], "width "),
            let rounds = Self.number(lines[lines.count - 2], "rounds "),
            let drops = Self.number(lines[lines.count - 1], "transport-drops ")
        else { return nil }
        self.init(
            location: location, admitted: admitted,
            report: ProbeReport(
                width: width, rounds: rounds, transportDrops: drops, dialect: dialect,
                servers: servers))
        // The comparison detects everything else, including damage.
        guard self.bytes == bytes else { return nil }
    }

    private static let varyingServers = "servers vary"

    private static func lines(of servers: ServerNames) -> [String] {
        servers.vary ? [varyingServers] : servers.sorted.map { "server \($0)" }
    }

    private static func servers(in lines: ArraySlice<String>) -> ServerNames? {
        if lines.elementsEqual([varyingServers]) { return .varying }
        let names = lines.compactMap { value($0, "server ") }
        return names.count == lines.count ? ServerNames(names) : nil
    }

    private static func value(_ line: String, _ name: String) -> String? {
        line.hasPrefix(name) ? String(line.dropFirst(name.count)) : nil
    }

    private static func number(_ line: String, _ name: String) -> Int? {
        value(line, name).flatMap { Int($0) }
    }
}

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
