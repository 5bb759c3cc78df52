import GitProtocol
import Repository

/// What is refused of a push before git is started.
struct PushCheck {
    private let manifest: Manifest

    init(_ manifest: Manifest) {
        self.manifest = manifest
    }

    /// The report for a push with a name that is not safe, the same name twice, or a deletion of
    /// another value than the ref has; nil if there is nothing to refuse.
    ///
    /// - Throws: ``ProtocolError`` for ids that are none of the repository's.
    func refusal(of commands: PushCommands) throws(ProtocolError) -> PushReport? {
        try checkFormat(of: commands)
        var reasons: [[UInt8]: String] = [:]
        var seen: Set<[UInt8]> = []
        for command in commands.commands {
            if let update = command.update {
                // git deletes whatever is there when it does not know the old value's object.
                if update.new.isZero, let current = manifest.refs[update.name],
                    current != update.old
                {
                    reasons[command.rawName] = "stale info"
                }
            } else {
                reasons[command.rawName] = "funny refname"
            }
            if !seen.insert(command.rawName).inserted {
                reasons[command.rawName] = "multiple updates for one ref"
            }
        }
        if reasons.isEmpty { return nil }
        return PushReport(
            unpackError: nil,
            rejected: commands.commands.map {
                PushReport.Rejection(
                    rawName: $0.rawName,
                    reason: reasons[$0.rawName] ?? "another ref of this push was refused")
            })
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
