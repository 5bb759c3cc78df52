import GitProtocol
import Repository

/// The refs of a push that are refused before git runs.
struct PushCheck {
    private let manifest: Manifest

    init(_ manifest: Manifest) {
        self.manifest = manifest
    }

    /// The part of a push that git receives.
    enum Verdict {
        /// Everything except these refs.
        case receive(without: [PushReport.Rejection])
        /// Nothing: every ref is refused, or the push must not be split. The refs with faults of their
        /// own come first in the report, so that they are the logged reason.
        case refuse(PushReport)
    }

    /// Finds refs that are refused on their own: an unsafe name, a name in several commands, and a
    /// deletion of another value than the ref has.
    ///
    /// - Throws: ``ProtocolError`` if the ids are not in the repository's object format.
    func verdict(on commands: PushCommands) throws -> Verdict {
        try checkFormat(of: commands)
        let refused = refused(of: commands)
        if refused.isEmpty { return .receive(without: []) }
        let names = Set(refused.map(\.rawName))
        if commands.capabilities.allowsParts, refused.count < commands.commands.count {
            return .receive(without: refused)
        }
        // git's reason for the refs of an atomic push that have no fault of their own.
        let reason = Array("atomic push failure".utf8)
        let others = commands.commands.lazy.map(\.rawName).filter { !names.contains($0) }.map {
            PushReport.Rejection(rawName: $0, reasonBytes: reason)
        }
        return .refuse(PushReport(unpackError: nil, rejected: refused + others))
    }

    /// The refusals, one for each command.
    private func refused(of commands: PushCommands) -> [PushReport.Rejection] {
        let repeated = Self.repeatedNames(in: commands)
        return commands.commands.compactMap { command in
            let reason: String
            if let fault = RefName.fault(of: command.rawName) {
                reason = fault.reason
            } else if repeated.contains(command.rawName) {
                reason = "multiple updates for one ref"
            } else if isStale(command) {
                reason = "stale info"
            } else {
                return nil
            }
            return PushReport.Rejection(rawName: command.rawName, reason: reason)
        }
    }

    private static func repeatedNames(in commands: PushCommands) -> Set<[UInt8]> {
        var seen: Set<[UInt8]> = []
        var repeated: Set<[UInt8]> = []
        for command in commands.commands where !seen.insert(command.rawName).inserted {
            repeated.insert(command.rawName)
        }
        return repeated
    }

    /// Whether a command deletes another value than the ref has. git would delete the ref whatever its
    /// value if it does not know the old value's object.
    private func isStale(_ command: PushCommands.Command) -> Bool {
        guard command.new.isZero, let name = RefName(command.rawName),
            let current = manifest.refs[name]
        else { return false }
        return current != command.old
    }

    /// git exits without a report if the commands have another object format than the repository.
    private func checkFormat(of commands: PushCommands) throws {
        let format = manifest.objectFormat
        let named = commands.capabilities.value(of: "object-format") ?? Array("sha1".utf8)
        guard commands.commands.allSatisfy({ $0.old.format == format }),
            commands.shallowFormats.isSubset(of: [format]),
            named.elementsEqual(format.rawValue.utf8)
        else {
            throw ProtocolError.badCommand("this repository's object format is \(format.rawValue)")
        }
    }
}
