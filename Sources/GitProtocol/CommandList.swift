/// The commands of a push, in the client's order.
///
/// They are stored as the client sent them, one after the other in one buffer: half a million
/// commands take little more than the bytes of their lines.
package struct CommandList: RandomAccessCollection, Equatable, Sendable {
    /// `old-id new-id name` of all commands.
    private var bytes: [UInt8] = []
    /// The end of each command in ``bytes``; the limits of ``PushCommands`` keep it small.
    private var ends: [UInt32] = []

    package init() {}

    package var startIndex: Int { 0 }
    package var endIndex: Int { ends.count }

    package subscript(index: Int) -> PushCommands.Command {
        // Both ids have the same length, which the first space ends.
        let line = line(at: index)
        let length = line.prefix { $0 != UInt8(ascii: " ") }.count
        guard let old = ObjectID(line.prefix(length)),
            let new = ObjectID(line.dropFirst(length + 1).prefix(length))
        else { preconditionFailure("a stored command without its ids") }
        return PushCommands.Command(
            old: old, new: new,
            rawName: Array(line.dropFirst(2 * length + 2)))
    }

    /// The size in memory in bytes, without the spare capacity of the buffers.
    var storedBytes: Int { bytes.count + ends.count * MemoryLayout<UInt32>.stride }

    /// Returns a command's line without capabilities and newline.
    func line(at index: Int) -> ArraySlice<UInt8> {
        bytes[(index == 0 ? 0 : Int(ends[index - 1]))..<Int(ends[index])]
    }

    mutating func append(_ command: PushCommands.Command) {
        command.appendLine(to: &bytes)
        ends.append(UInt32(bytes.count))
    }

    /// Returns the commands that `transform` returns for these; nil leaves a command out.
    func compactMapped(
        _ transform: (PushCommands.Command) -> PushCommands.Command?
    ) -> CommandList {
        var list = CommandList()
        for command in self {
            if let command = transform(command) { list.append(command) }
        }
        return list
    }
}
