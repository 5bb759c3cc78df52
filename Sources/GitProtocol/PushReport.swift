/// The result of a push: git's report-status, as pkt-lines. gitprotocol-pack(5), "Report Status".
package struct PushReport: Equatable, Sendable {
    /// The report's own pkt-lines, as within band 1, including the flush.
    package let bytes: [UInt8]
    /// nil for `unpack ok`.
    package let unpackError: String?
    /// The refs reported `ok`, by raw name, in the report's order.
    package let accepted: [[UInt8]]
    /// The refs reported `ng`, with the reasons.
    package let rejected: [Rejection]
    private let lines: [Line]

    /// The report's line on one ref.
    private enum Line: Equatable, Sendable {
        /// With the `option` lines that follow it.
        case accepted([UInt8], options: [[UInt8]])
        case rejected(Rejection)

        var rawName: [UInt8] {
            switch self {
            case .accepted(let name, _): name
            case .rejected(let rejection): rejection.rawName
            }
        }
    }

    /// A ref that was not updated.
    package struct Rejection: Equatable, Sendable {
        package let rawName: [UInt8]
        package let reason: [UInt8]

        package init(rawName: [UInt8], reason: String) {
            self.rawName = rawName
            self.reason = Array(PrintableText.sentence(reason).utf8)
        }

        /// Stores a reason that many refs share.
        package init(rawName: [UInt8], reasonBytes: [UInt8]) {
            self.rawName = rawName
            reason = reasonBytes
        }
    }

    /// Parses git's report.
    package init(parsing bytes: [UInt8]) throws {
        var rest = bytes[...]
        let reader = PktLineReader { count in
            let taken = rest.prefix(count)
            rest = rest.dropFirst(count)
            return Array(taken)
        }
        guard case .data(let first)? = try reader.next(), first.starts(with: "unpack ".utf8) else {
            throw ProtocolError.badReport("missing 'unpack' line")
        }
        let status = Self.trimmed(first).dropFirst(7)
        unpackError =
            status.elementsEqual("ok".utf8) ? nil : String(decoding: status, as: UTF8.self)

        var lines: [Line] = []
        reading: while true {
            switch try reader.next() {
            case .flush: break reading
            case .data(let payload): try Self.take(Self.trimmed(payload), into: &lines)
            case .delimiter, .responseEnd, nil:
                throw ProtocolError.badReport("missing flush packet")
            }
        }
        guard rest.isEmpty else { throw ProtocolError.badReport("data after the end") }
        self.bytes = bytes
        self.lines = lines
        accepted = Self.accepted(in: lines)
        rejected = Self.rejected(in: lines)
    }

    private static func take(
        _ line: ArraySlice<UInt8>, into lines: inout [Line]
    ) throws(ProtocolError) {
        if line.starts(with: "ok ".utf8) {
            lines.append(.accepted(Array(line.dropFirst(3)), options: []))
        } else if line.starts(with: "ng ".utf8) {
            let parts = line.dropFirst(3).split(separator: UInt8(ascii: " "), maxSplits: 1)
            guard let name = parts.first else { throw .badReport("'ng' line without a ref") }
            let reason = parts.count > 1 ? Array(parts[1]) : []
            lines.append(.rejected(Rejection(rawName: Array(name), reasonBytes: reason)))
        } else if line.starts(with: "option ".utf8) {
            if case .accepted(let name, let options) = lines.last {
                lines[lines.count - 1] = .accepted(name, options: options + [Array(line)])
            }
        } else {
            throw .badReport("a line that is neither ok, ng nor option")
        }
    }

    private static func accepted(in lines: [Line]) -> [[UInt8]] {
        lines.compactMap { if case .accepted(let name, _) = $0 { name } else { nil } }
    }

    private static func rejected(in lines: [Line]) -> [Rejection] {
        lines.compactMap { if case .rejected(let rejection) = $0 { rejection } else { nil } }
    }

    /// Creates a report without git.
    ///
    /// - Parameters:
    ///   - unpackError: nil for `unpack ok`.
    ///   - rejected: every ref of the push.
    package init(unpackError: String?, rejected: [Rejection]) {
        self.init(
            unpackError: unpackError.map { PrintableText.sentence($0) },
            lines: rejected.map { .rejected($0) })
    }

    private init(unpackError: String?, lines: [Line]) {
        var bytes: [UInt8] = []
        func add(_ text: [UInt8]) {
            // A name or reason longer than a line would break the framing, but neither can be that
            // long.
            PktLine.append(
                text.prefix(PktLine.maximumPayload - 1) + [UInt8(ascii: "\n")], to: &bytes)
        }
        add(Array("unpack \(unpackError ?? "ok")".utf8))
        for line in lines {
            switch line {
            case .accepted(let name, let options):
                add(Array("ok ".utf8) + name)
                for option in options { add(option) }
            case .rejected(let rejection):
                add(
                    Array("ng ".utf8) + rejection.rawName + [UInt8(ascii: " ")] + rejection.reason)
            }
        }
        bytes += PktLine.flushBytes
        self.bytes = bytes
        self.unpackError = unpackError
        self.lines = lines
        accepted = Self.accepted(in: lines)
        rejected = Self.rejected(in: lines)
    }

    /// The same report, but with these refs refused: `ok` becomes `ng`, and refs that the report
    /// does not contain are added.
    package func rejecting(_ rejections: [Rejection]) -> PushReport {
        if rejections.isEmpty { return self }
        let reasons = Dictionary(
            rejections.map { ($0.rawName, $0) }, uniquingKeysWith: { first, _ in first })
        let known = Set(lines.map(\.rawName))
        let changed = lines.map { line in reasons[line.rawName].map(Line.rejected) ?? line }
        let added = rejections.filter { !known.contains($0.rawName) }.map(Line.rejected)
        return PushReport(unpackError: unpackError, lines: changed + added)
    }

    /// The same report in the order of a push's commands, which is that of git's own reports.
    package func arranged(like commands: CommandList) -> PushReport {
        if lines.lazy.map(\.rawName).elementsEqual(commands.lazy.map(\.rawName)) {
            return self
        }
        var waiting: [[UInt8]: [Line]] = [:]
        for line in lines.reversed() { waiting[line.rawName, default: []].append(line) }
        var arranged = commands.compactMap { waiting[$0.rawName]?.popLast() }
        if arranged.count < lines.count {
            // Lines about refs that are not in the commands stay at the end.
            let names = Set(commands.lazy.map(\.rawName))
            arranged += lines.filter { !names.contains($0.rawName) }
        }
        return PushReport(unpackError: unpackError, lines: arranged)
    }

    /// The first refusal, as a sentence that is not yet printable; nil if nothing was refused.
    package var refusal: String? {
        if let unpackError { return "The push could not be unpacked: \(unpackError)." }
        guard let first = rejected.first else { return nil }
        let (name, reason) = (first.rawName, first.reason)
        return "'\(Self.shown(name, 200))' was refused: \(Self.shown(reason, 500))."
    }

    private static func shown(_ bytes: [UInt8], _ limit: Int) -> String {
        PrintableText.shortened(String(decoding: bytes, as: UTF8.self), to: limit)
    }

    /// The report as the body of an answer to a client that requested it in this form.
    package func body(for reporting: PushReporting) -> [UInt8] {
        switch (reporting.report, reporting.sideBand) {
        case (.unwanted, .none): return []
        case (.unwanted, .sideBand64k): return PktLine.flushBytes
        case (.wanted, .none): return bytes
        case (.wanted, .sideBand64k):
            var body: [UInt8] = []
            PktLine.append(bytes, on: .data, to: &body)
            return body + PktLine.flushBytes
        }
    }

    private static func trimmed(_ payload: [UInt8]) -> ArraySlice<UInt8> {
        payload.last == UInt8(ascii: "\n") ? payload.dropLast() : payload[...]
    }
}
