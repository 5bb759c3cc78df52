/// What a push asks for: everything of its request up to the pack. gitprotocol-pack(5),
/// "Reference Update Request and Packfile Transfer".
package struct PushCommands: Sendable {
    /// One command as it came. The name is raw: it may not be a safe one.
    package struct Command: Equatable, Sendable {
        package let old: ObjectID
        package let new: ObjectID
        package let rawName: [UInt8]

        /// The update, if the name is safe.
        package var update: RefUpdate? {
            RefName(rawName).map { RefUpdate(name: $0, old: old, new: new) }
        }

        fileprivate var line: [UInt8] { Array("\(old) \(new) ".utf8) + rawName }
    }

    package private(set) var commands: [Command] = []
    package private(set) var capabilities = PushCapabilities([])
    package private(set) var pushOptions: [[UInt8]] = []
    private var shallows: [[UInt8]] = []
    /// Of the ids on the shallow lines.
    package private(set) var shallowFormats: Set<ObjectFormat> = []

    /// Bytes that the lines before the pack may have in all; 64 MiB are half a million refs.
    package static let maximumSize = 64 << 20

    /// Bytes of the list of capabilities; git's has a few hundred.
    private static let maximumCapabilities = 60_000

    /// Reads the commands, and the push options where they were announced.
    ///
    /// - Returns: nil for the client's probe, a lone `0000`, and for an empty request.
    package static func read(
        from reader: PktLineReader, maximumSize: Int = Self.maximumSize
    ) throws -> PushCommands? {
        var push = PushCommands()
        var size = 0
        func next(_ place: String) throws -> [UInt8]? {
            switch try reader.next() {
            case .data(let payload):
                size += payload.count + 4
                if size > maximumSize {
                    throw ProtocolError.tooLarge("more than \(maximumSize) bytes of commands")
                }
                return payload
            case .flush: return nil
            case .delimiter, .responseEnd:
                throw ProtocolError.badCommand("a delimiter among the \(place)")
            case nil: throw ProtocolError.truncated("the \(place)")
            }
        }

        guard let first = try reader.next(), first != .flush else { return nil }
        guard case .data(var line) = first else {
            throw ProtocolError.badCommand("a delimiter among the commands")
        }
        size = line.count + 4
        while true {
            try push.take(line)
            guard let following = try next("commands") else { break }
            line = following
        }
        if push.commands.isEmpty { throw ProtocolError.badCommand("there is none") }
        if push.capabilities.has("push-options") {
            while let option = try next("push options") { push.pushOptions.append(option) }
        }
        return push
    }

    private mutating func take(_ payload: [UInt8]) throws(ProtocolError) {
        var line = payload[...]
        if line.last == UInt8(ascii: "\n") { line = line.dropLast() }
        if line.starts(with: "shallow ".utf8) {
            guard let id = ObjectID(line.dropFirst(8)) else {
                throw .badCommand("a shallow line without an object id")
            }
            shallows.append(Array(line))
            shallowFormats.insert(id.format)
            return
        }
        if line.starts(with: "push-cert".utf8) {
            throw .badCommand("a push certificate, which this server does not ask for")
        }
        if let zero = line.firstIndex(of: 0) {
            // git lets any command carry capabilities; only the first one does in practice.
            if commands.isEmpty {
                let list = line[(zero + 1)...]
                // git reads on to the next zero byte only: we and git must see one list.
                if list.contains(0) { throw .badCommand("a zero byte among the capabilities") }
                capabilities = PushCapabilities(list)
            }
            line = line[..<zero]
        }
        let parts = line.split(
            separator: UInt8(ascii: " "), maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, let old = ObjectID(parts[0]), let new = ObjectID(parts[1]) else {
            throw .badCommand("not of the form 'old-id new-id name'")
        }
        guard old.format == new.format else { throw .badCommand("ids of different lengths") }
        let command = Command(old: old, new: new, rawName: Array(parts[2]))
        if commands.isEmpty, lineForGit(of: command).count > PktLine.maximumPayload {
            throw .badCommand("a line without room for 'report-status'")
        }
        // Another command may come to be the first one, and its name needs room beside the list.
        if capabilities.bytes.count > Self.maximumCapabilities {
            throw .badCommand("more than \(Self.maximumCapabilities) bytes of capabilities")
        }
        commands.append(command)
    }

    /// The first command's line, which grows where a report has to be asked for.
    private func lineForGit(of first: Command) -> [UInt8] {
        first.line + [0] + capabilities.askingForReport.bytes
    }

    /// The same push with fewer commands, to be received again: `isKept` says of a raw name whether
    /// its command stays. What git told the client of the pack the first time it need not repeat,
    /// hence `quiet`.
    ///
    /// - Parameter isFulfilled: whether an update is made by now. It is asked for from there: git
    ///   would refuse it for its old value.
    package func received(
        again isKept: ([UInt8]) -> Bool, isFulfilled: (RefUpdate) -> Bool = { _ in false }
    ) -> PushCommands {
        var push = self
        push.commands = commands.filter { isKept($0.rawName) }.map { command in
            guard let update = command.update, isFulfilled(update) else { return command }
            return Command(old: command.new, new: command.new, rawName: command.rawName)
        }
        push.capabilities = capabilities.adding("quiet")
        return push
    }

    /// The same push without the commands of these raw names.
    package func without(_ names: Set<[UInt8]>) -> PushCommands {
        var push = self
        push.commands = commands.filter { !names.contains($0.rawName) }
        return push
    }

    /// The same push with other old values.
    package func withOldValues(_ value: (RefUpdate) -> ObjectID) -> PushCommands {
        var push = self
        push.commands = commands.map { command in
            guard let update = command.update else { return command }
            return Command(old: value(update), new: command.new, rawName: command.rawName)
        }
        return push
    }

    /// Whether a pack follows: not if every command deletes.
    package var bringsPack: Bool { commands.contains { !$0.new.isZero } }

    /// The command section for git: as it came, but that a report is always asked for, because
    /// what git reports is part of the proof that a push was received.
    package var requestForGit: [UInt8] {
        var bytes: [UInt8] = []
        for shallow in shallows { PktLine.append(shallow, to: &bytes) }
        for (index, command) in commands.enumerated() {
            PktLine.append(index == 0 ? lineForGit(of: command) : command.line, to: &bytes)
        }
        bytes += PktLine.flushBytes
        if capabilities.has("push-options") {
            for option in pushOptions { PktLine.append(option, to: &bytes) }
            bytes += PktLine.flushBytes
        }
        return bytes
    }
}
