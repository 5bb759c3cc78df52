import Bytes
import Posix

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
