/// The capabilities that a push's first command carries. gitprotocol-capabilities(5).
package struct PushCapabilities: Equatable, Sendable {
    private let words: [[UInt8]]

    /// The list as it goes to git. It is put together once: a list may have tens of thousands of
    /// words, and a push hundreds of thousands of commands.
    package let bytes: [UInt8]

    /// Takes the list as it stands behind the zero byte, as git does: words between white space,
    /// up to another zero byte. git's connect.c, `parse_feature_value`.
    package init(_ bytes: some Collection<UInt8>) {
        words = bytes.prefix { $0 != 0 }.split { byte in
            byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d
        }.map { Array($0) }
        self.bytes = Array(words.joined(separator: [UInt8(ascii: " ")]))
    }

    /// Whether a capability is there, with a value or without, as git asks.
    package func has(_ name: String) -> Bool {
        words.contains { $0.elementsEqual(name.utf8) } || value(of: name) != nil
    }

    /// The value of `name=value`.
    package func value(of name: String) -> [UInt8]? {
        let prefix = Array("\(name)=".utf8)
        return words.first { $0.starts(with: prefix) }.map { Array($0.dropFirst(prefix.count)) }
    }

    /// How the client wants to be told.
    package var reporting: PushReporting {
        PushReporting(
            report: has("report-status-v2") || has("report-status") ? .wanted : .unwanted,
            sideBand: has("side-band-64k") ? .sideBand64k : .none)
    }

    /// The same with `report-status`, where no report was asked for.
    package var askingForReport: PushCapabilities {
        reporting.report == .wanted ? self : adding("report-status")
    }

    /// The same with another one, where it is not among them.
    func adding(_ name: String) -> PushCapabilities {
        has(name) ? self : PushCapabilities(bytes + Array(" \(name)".utf8))
    }

    /// Whether all refs of the push are to be updated, or none.
    package var isAtomic: Bool { has("atomic") }

    /// Whether some refs may be updated without the others: where that was not ruled out, and the
    /// client can be told which.
    package var allowsParts: Bool { !isAtomic && reporting.report == .wanted }
}

/// How a push's client wants to be told what became of it.
package struct PushReporting: Equatable, Sendable {
    package let report: Report
    package let sideBand: SideBand

    package enum Report: Sendable { case wanted, unwanted }
    package enum SideBand: Sendable { case none, sideBand64k }
}
