/// What became of a push: git's report-status, as pkt-lines. gitprotocol-pack(5), "Report Status".
package struct PushReport: Equatable, Sendable {
    /// The report's own pkt-lines, as they stand within band 1, flush included.
    package let bytes: [UInt8]
    /// nil: `unpack ok`.
    package let unpackError: String?
    /// The refs reported `ok`, by raw name, in the report's order.
    package let accepted: [[UInt8]]
    /// The refs reported `ng`, with the reasons.
    package let rejected: [Rejection]

    /// A ref that was not updated.
    package struct Rejection: Equatable, Sendable {
        package let rawName: [UInt8]
        package let reason: [UInt8]

        package init(rawName: [UInt8], reason: String) {
            self.rawName = rawName
            self.reason = Array(reason.utf8)
        }

        fileprivate init(rawName: [UInt8], reasonBytes: [UInt8]) {
            self.rawName = rawName
            reason = reasonBytes
        }
    }

    /// Reads git's report.
    package init(parsing bytes: [UInt8]) throws {
        var rest = bytes[...]
        let reader = PktLineReader { count in
            let taken = rest.prefix(count)
            rest = rest.dropFirst(count)
            return Array(taken)
        }
        guard case .data(let first)? = try reader.next(), first.starts(with: "unpack ".utf8) else {
            throw ProtocolError.badReport("it does not begin with 'unpack'")
        }
        let status = Self.trimmed(first).dropFirst(7)
        unpackError =
            status.elementsEqual("ok".utf8) ? nil : String(decoding: status, as: UTF8.self)

        var accepted: [[UInt8]] = []
        var rejected: [Rejection] = []
        lines: while true {
            switch try reader.next() {
            case .flush: break lines
            case .data(let payload):
                let line = Self.trimmed(payload)
                if line.starts(with: "ok ".utf8) {
                    accepted.append(Array(line.dropFirst(3)))
                } else if line.starts(with: "ng ".utf8) {
                    let parts = line.dropFirst(3).split(
                        separator: UInt8(ascii: " "), maxSplits: 1)
                    guard let name = parts.first else {
                        throw ProtocolError.badReport("'ng' without a ref")
                    }
                    rejected.append(
                        Rejection(
                            rawName: Array(name),
                            reasonBytes: parts.count > 1 ? Array(parts[1]) : []))
                } else if !line.starts(with: "option ".utf8) {
                    throw ProtocolError.badReport("a line that is neither ok, ng nor option")
                }
            case .delimiter, .responseEnd, nil:
                throw ProtocolError.badReport("it has no end")
            }
        }
        guard rest.isEmpty else { throw ProtocolError.badReport("bytes after its end") }
        self.bytes = bytes
        self.accepted = accepted
        self.rejected = rejected
    }

    /// A report of our own.
    ///
    /// - Parameters:
    ///   - unpackError: nil for `unpack ok`.
    ///   - rejected: every ref of the push.
    package init(unpackError: String?, rejected: [Rejection]) {
        var bytes: [UInt8] = []
        func line(_ text: [UInt8]) {
            // A name or reason longer than a line would break the framing; neither can be.
            PktLine.append(
                text.prefix(PktLine.maximumPayload - 1) + [UInt8(ascii: "\n")], to: &bytes)
        }
        line(Array("unpack \(unpackError ?? "ok")".utf8))
        for rejection in rejected {
            line(Array("ng ".utf8) + rejection.rawName + [UInt8(ascii: " ")] + rejection.reason)
        }
        bytes += PktLine.flushBytes
        self.bytes = bytes
        self.unpackError = unpackError
        accepted = []
        self.rejected = rejected
    }

    /// What was refused, in a line; nil: nothing.
    package var refusal: String? {
        if let unpackError { return "The push could not be unpacked: \(unpackError)." }
        guard let first = rejected.first else { return nil }
        let (name, reason) = (first.rawName, first.reason)
        return "'\(String(decoding: name, as: UTF8.self))' was refused: "
            + "\(String(decoding: reason, as: UTF8.self))."
    }

    /// The report as the body of an answer to a client that talks like `reporting`.
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
