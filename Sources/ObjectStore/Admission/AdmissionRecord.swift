import Posix

/// That a store was probed and admitted: kept in the state directory, so that not every start
/// probes again.
struct AdmissionRecord: Equatable, Sendable {
    /// As the store gives it: endpoint and other settings that matter are part of it.
    let location: String
    /// Seconds since 1970.
    let admitted: Int
    let report: ProbeReport

    private static var title: String { "git-s3-backend admission \(ConformanceProbe.version)" }

    /// The record's text; a location that has a line break is known by its digest alone.
    var bytes: [UInt8] {
        let digest = Digest(of: Array(location.utf8))
        let shown = String(
            decoding: location.utf8.map { $0 < 0x20 || $0 == 0x7f ? UInt8(ascii: "?") : $0 },
            as: UTF8.self)
        let lines = [
            Self.title,
            "store \(shown)",
            "store-sha256 \(digest)",
            "admitted \(admitted)",
            "etags \(report.etagForm.rawValue)",
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

    /// Takes a record's text; nil unless it is, to the byte, what this version writes for this
    /// store.
    init?(_ bytes: [UInt8], location: String) {
        let lines = bytes.split(separator: UInt8(ascii: "\n")).map {
            String(decoding: $0, as: UTF8.self)
        }
        guard lines.count == 8, let admitted = Self.number(lines[3], "admitted "),
            let form = Self.value(lines[4], "etags ").flatMap({ ETagForm(rawValue: $0) }),
            let width = Self.number(lines[5], "width "),
            let rounds = Self.number(lines[6], "rounds "),
            let drops = Self.number(lines[7], "transport-drops ")
        else { return nil }
        self.init(
            location: location, admitted: admitted,
            report: ProbeReport(
                width: width, rounds: rounds, transportDrops: drops, etagForm: form))
        // Everything else, damage included, shows in the comparison.
        guard self.bytes == bytes else { return nil }
    }

    private static func value(_ line: String, _ name: String) -> String? {
        line.hasPrefix(name) ? String(line.dropFirst(name.count)) : nil
    }

    private static func number(_ line: String, _ name: String) -> Int? {
        value(line, name).flatMap { Int($0) }
    }
}
