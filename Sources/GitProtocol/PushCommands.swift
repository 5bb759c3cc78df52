/// The commands of a push: everything in its request up to the pack. gitprotocol-pack(5),
/// "Reference Update Request and Packfile Transfer".
package struct PushCommands: Sendable {
    /// One command as received. The name is raw: it may be unsafe.
    package struct Command: Equatable, Sendable {
        package let old: ObjectID
        package let new: ObjectID
        package let rawName: [UInt8]

        /// The update, if the name is safe.
        package var update: RefUpdate? {
            RefName(rawName).map { RefUpdate(name: $0, old: old, new: new) }
        }

        /// Appends `old-id new-id name` to bytes.
        func appendLine(to bytes: inout [UInt8]) {
            old.appendHex(to: &bytes)
            bytes.append(UInt8(ascii: " "))
            new.appendHex(to: &bytes)
            bytes.append(UInt8(ascii: " "))
            bytes += rawName
        }
    }

    package private(set) var commands = CommandList()
    package private(set) var capabilities = PushCapabilities([])
    package private(set) var pushOptions: [[UInt8]] = []
    /// The shallow lines, as pkt-lines.
    private var shallows: [UInt8] = []
    /// The format of the ids on the shallow lines.
    package private(set) var shallowFormats: Set<ObjectFormat> = []

    /// Limits on what a request can make this process store.
    package struct Limits: Sendable {
        /// The total size in bytes of the command and shallow lines.
        package var size = 64 << 20
        /// The number of command and shallow lines. Each command also costs memory later on, in the
        /// checks, the report and the manifest.
        package var lines = 500_000
        /// The total size in bytes of the push options.
        package var optionSize = 1 << 20
        package var options = 10_000

        package init() {}
    }

    /// The size in bytes of the list of capabilities; git's has a few hundred.
    private static let maximumCapabilities = 60_000

    /// Reads the commands, and the push options if they were announced.
    ///
    /// - Throws: ``ProtocolError`` for anything else, including an empty request and a lone `0000`,
    ///   and the errors of the reader.
    package static func read(
        from reader: PktLineReader, limits: Limits = Limits()
    ) throws -> PushCommands {
        var push = PushCommands()
        var budget = Budget(size: limits.size, count: limits.lines, of: "commands")
        while let line = try next(from: reader, "commands", &budget) { try push.take(line) }
        if push.commands.isEmpty { throw ProtocolError.badCommand("no command") }
        if push.capabilities.has("push-options") {
            budget = Budget(size: limits.optionSize, count: limits.options, of: "push options")
            while let option = try next(from: reader, "push options", &budget) {
                push.pushOptions.append(option)
            }
        }
        return push
    }

    /// The remaining part of a limit on lines.
    private struct Budget {
        private let size: Int
        private let count: Int
        private let subject: String
        private var sizeLeft: Int
        private var countLeft: Int

        init(size: Int, count: Int, of subject: String) {
            (self.size, self.count, self.subject) = (size, count, subject)
            (sizeLeft, countLeft) = (size, count)
        }

        /// Subtracts a line's payload and its length digits.
        mutating func charge(_ payload: [UInt8]) throws(ProtocolError) {
            sizeLeft -= payload.count + 4
            countLeft -= 1
            if sizeLeft < 0 { throw .tooLarge("more than \(size) bytes of \(subject)") }
            if countLeft < 0 { throw .tooLarge("more than \(count) \(subject)") }
        }
    }

    /// Reads the next line of a section; nil at the flush that ends it.
    private static func next(
        from reader: PktLineReader, _ section: String, _ budget: inout Budget
    ) throws -> [UInt8]? {
        switch try reader.next() {
        case .data(let payload):
            try budget.charge(payload)
            return payload
        case .flush: return nil
        case .delimiter, .responseEnd:
            throw ProtocolError.badCommand("a delimiter among the \(section)")
        case nil: throw ProtocolError.truncated("the \(section)")
        }
    }

    private mutating func take(_ payload: [UInt8]) throws(ProtocolError) {
        var line = payload[...]
        if line.last == UInt8(ascii: "\n") { line = line.dropLast() }
        if line.starts(with: "shallow ".utf8) {
            guard let id = ObjectID(line.dropFirst(8)) else {
                throw .badCommand("a shallow line without an object id")
            }
            PktLine.append(line, to: &shallows)
            shallowFormats.insert(id.format)
            return
        }
        if line.starts(with: "push-cert".utf8) {
            throw .badCommand("a push certificate, which this server does not support")
        }
        if let zero = line.firstIndex(of: 0) {
            // git accepts capabilities on any command; in practice only the first one has them.
            if commands.isEmpty {
                capabilities = try Self.capabilities(line[(zero + 1)...])
            }
            line = line[..<zero]
        }
        let parts = line.split(
            separator: UInt8(ascii: " "), maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, let old = ObjectID(parts[0]), let new = ObjectID(parts[1]) else {
            throw .badCommand("expected 'old-id new-id name'")
        }
        guard old.format == new.format else { throw .badCommand("ids of different lengths") }
        let command = Command(old: old, new: new, rawName: Array(parts[2]))
        if commands.isEmpty, lineForGit(of: line).count > PktLine.maximumPayload {
            throw .badCommand("a line without capabilities such as 'report-status'")
        }
        commands.append(command)
    }

    private static func capabilities(
        _ list: ArraySlice<UInt8>
    ) throws(ProtocolError) -> PushCapabilities {
        // git reads up to the next zero byte: this program and git must see the same list.
        if list.contains(0) { throw .badCommand("a zero byte among the capabilities") }
        // Another command may become the first one, and its name needs room beside the list.
        if list.count > maximumCapabilities {
            throw .badCommand("more than \(maximumCapabilities) bytes of capabilities")
        }
        return PushCapabilities(list)
    }

    /// The first command's line, which grows if a report has to be requested.
    private func lineForGit(of first: some Collection<UInt8>) -> [UInt8] {
        Array(first) + [0] + capabilities.askingForReport.bytes
    }

    /// The same push with the remaining commands, to be received again. It has `quiet`, because git
    /// has already reported to the client on its pack.
    ///
    /// - Parameters:
    ///   - isKept: whether the command with a raw name remains.
    ///   - isFulfilled: whether an update has been made in the meantime. The new command starts
    ///     from its result, since git would refuse its old value.
    package func remaining(
        keeping isKept: ([UInt8]) -> Bool,
        fulfilled isFulfilled: (RefUpdate) -> Bool = { _ in false }
    ) -> PushCommands {
        var push = self
        push.commands = commands.compactMapped { command in
            guard isKept(command.rawName) else { return nil }
            guard let update = command.update, isFulfilled(update) else { return command }
            return Command(old: command.new, new: command.new, rawName: command.rawName)
        }
        push.capabilities = capabilities.adding("quiet")
        return push
    }

    /// The same push without the commands of these raw names.
    package func without(_ names: Set<[UInt8]>) -> PushCommands {
        if names.isEmpty { return self }
        var push = self
        push.commands = commands.compactMapped { names.contains($0.rawName) ? nil : $0 }
        return push
    }

    /// The same push with other old values.
    package func withOldValues(_ value: (RefUpdate) -> ObjectID) -> PushCommands {
        var push = self
        push.commands = commands.compactMapped { command in
            guard let update = command.update else { return command }
            return Command(old: value(update), new: command.new, rawName: command.rawName)
        }
        return push
    }

    /// Whether a pack follows, which is the case unless every command deletes.
    package var bringsPack: Bool { commands.contains { !$0.new.isZero } }

    /// The command section for git, unchanged except that a report is always requested: git's
    /// report is part of the proof that a push was received.
    package var requestForGit: [UInt8] {
        var bytes = shallows
        for index in commands.indices {
            let line = commands.line(at: index)
            if index == 0 {
                PktLine.append(lineForGit(of: line), to: &bytes)
            } else {
                PktLine.append(line, to: &bytes)
            }
        }
        bytes += PktLine.flushBytes
        if capabilities.has("push-options") {
            for option in pushOptions { PktLine.append(option, to: &bytes) }
            bytes += PktLine.flushBytes
        }
        return bytes
    }
}
