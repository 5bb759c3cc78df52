import GitProtocol

/// One push's request: commands, options, pack.
package struct PushRequest {
    package var commands: [(old: String, new: String, name: String)]
    package var capabilities: String
    package var options: [String]
    package var shallow: [String]
    package var pack: [UInt8]

    package init(
        commands: [(old: String, new: String, name: String)],
        capabilities: String = "report-status side-band-64k", options: [String] = [],
        shallow: [String] = [], pack: [UInt8] = []
    ) {
        self.commands = commands
        self.capabilities = capabilities
        self.options = options
        self.shallow = shallow
        self.pack = pack
    }

    /// The body of the request up to the pack, in pkt-lines. gitprotocol-pack(5).
    package var request: [UInt8] {
        var bytes: [UInt8] = []
        for id in shallow { PktLine.append(Array("shallow \(id)".utf8), to: &bytes) }
        for (index, command) in commands.enumerated() {
            let line = "\(command.old) \(command.new) \(command.name)"
            PktLine.append(
                Array((index == 0 ? line + "\0 " + capabilities : line).utf8), to: &bytes)
        }
        bytes += PktLine.flushBytes
        if !options.isEmpty {
            for option in options { PktLine.append(Array(option.utf8), to: &bytes) }
            bytes += PktLine.flushBytes
        }
        return bytes
    }
}
