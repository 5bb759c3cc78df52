import GitProtocol
import Repository

/// What is refused of a push before git is started.
struct PushCheck {
    private let manifest: Manifest

    init(_ manifest: Manifest) {
        self.manifest = manifest
    }

    /// The report for a push with a name that is not safe, the same name twice, or a deletion that
    /// is ``stale(in:)`` and cannot be left out; nil if it is to be received.
    ///
    /// - Throws: ``ProtocolError`` for ids that are none of the repository's.
    func refusal(of commands: PushCommands) throws(ProtocolError) -> PushReport? {
        try checkFormat(of: commands)
        let stale = stale(in: commands)
        var reasons = Dictionary(
            stale.map { ($0.rawName, $0) }, uniquingKeysWith: { first, _ in first })
        var isWhole =
            stale.count == commands.commands.count
            || !stale.isEmpty && !commands.capabilities.allowsParts
        func refuse(_ name: [UInt8], _ reason: String) {
            reasons[name] = PushReport.Rejection(rawName: name, reason: reason)
            isWhole = true
        }
        var seen: Set<[UInt8]> = []
        for command in commands.commands {
            if command.update == nil { refuse(command.rawName, "funny refname") }
            if !seen.insert(command.rawName).inserted {
                refuse(command.rawName, "multiple updates for one ref")
            }
        }
        guard isWhole else { return nil }
        return PushReport(
            unpackError: nil,
            rejected: commands.commands.map {
                reasons[$0.rawName]
                    ?? PushReport.Rejection(
                        rawName: $0.rawName, reason: "another ref of this push was refused")
            })
    }

    /// The deletions of another value than the ref has. git deletes whatever is there when it does
    /// not know the old value's object, so it is not asked.
    func stale(in commands: PushCommands) -> [PushReport.Rejection] {
        commands.commands.filter { command in
            guard let update = command.update, update.new.isZero,
                let current = manifest.refs[update.name]
            else { return false }
            return current != update.old
        }.map { PushReport.Rejection(rawName: $0.rawName, reason: "stale info") }
    }

    /// git ends in the middle when it meets another object format than the repository's.
    private func checkFormat(of commands: PushCommands) throws(ProtocolError) {
        let format = manifest.objectFormat
        let named = commands.capabilities.value(of: "object-format") ?? Array("sha1".utf8)
        guard commands.commands.allSatisfy({ $0.old.format == format }),
            commands.shallowFormats.isSubset(of: [format]),
            named.elementsEqual(format.rawValue.utf8)
        else { throw .badCommand("this repository's object format is \(format.rawValue)") }
    }
}
