/// One command of a push: a ref, what the client takes its value to be, and what it shall be.
/// gitprotocol-pack(5), "Reference Update Request". The zero id stands for "does not exist".
package struct RefUpdate: Hashable, Sendable {
    package let name: RefName
    package let old: ObjectID
    package let new: ObjectID

    package init(name: RefName, old: ObjectID, new: ObjectID) {
        self.name = name
        self.old = old
        self.new = new
    }

    /// The line that a pre-receive hook reads, without its newline. githooks(5).
    package var line: [UInt8] {
        Array("\(old) \(new) ".utf8) + name.bytes
    }

    /// Takes such a line; nil for anything else.
    package init?(line: some Collection<UInt8>) {
        let parts = line.split(
            separator: UInt8(ascii: " "), maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, let old = ObjectID(parts[0]), let new = ObjectID(parts[1]),
            let name = RefName(parts[2])
        else { return nil }
        self.init(name: name, old: old, new: new)
    }
}
