/// The capabilities in a push's first command. gitprotocol-capabilities(5).
package struct PushCapabilities: Equatable, Sendable {
    private let words: [[UInt8]]

    /// The list for git. It is assembled once: a list may have tens of thousands of words, and a
    /// push hundreds of thousands of commands.
    package let bytes: [UInt8]

    /// Parses the list after the zero byte as git does: words between white space, up to another
    /// zero byte. git's connect.c, `parse_feature_value`.
    package init(_ bytes: some Collection<UInt8>) {
        words = bytes.prefix { $0 != 0 }.split { byte in
            byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d
        }.map { Array($0) }
        self.bytes = Array(words.joined(separator: [UInt8(ascii: " ")]))
    }

    /// Whether a capability is present, with or without a value.
    package func has(_ name: String) -> Bool {
        words.contains { $0.elementsEqual(name.utf8) } || value(of: name) != nil
    }

    /// The value of `name=value`.
    package func value(of name: String) -> [UInt8]? {
        let prefix = Array("\(name)=".utf8)
        return words.first { $0.starts(with: prefix) }.map { Array($0.dropFirst(prefix.count)) }
    }

    /// How the client wants the result reported.
    package var reporting: PushReporting {
        PushReporting(
            report: has("report-status-v2") || has("report-status") ? .wanted : .unwanted,
            sideBand: has("side-band-64k") ? .sideBand64k : .none)
    }

    /// The same with `report-status`, if no report was requested.
    package var askingForReport: PushCapabilities {
        reporting.report == .wanted ? self : adding("report-status")
    }

    /// The same with another capability, if it is missing.
    func adding(_ name: String) -> PushCapabilities {
        has(name) ? self : PushCapabilities(bytes + Array(" \(name)".utf8))
    }

    /// Whether either all refs of the push must be updated, or none.
    package var isAtomic: Bool { has("atomic") }

    /// Whether some refs may be updated without the others: if the client did not rule that out,
    /// and can learn which.
    package var allowsParts: Bool { !isAtomic && reporting.report == .wanted }
}

/// How the client of a push wants the result reported.
package struct PushReporting: Equatable, Sendable {
    package let report: Report
    package let sideBand: SideBand

    package enum Report: Sendable { case wanted, unwanted }
    package enum SideBand: Sendable { case none, sideBand64k }
}
