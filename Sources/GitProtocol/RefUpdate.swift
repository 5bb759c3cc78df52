/// One command of a push: a ref, its value according to the client, and its new value.
/// gitprotocol-pack(5), "Reference Update Request". The zero id means "does not exist".
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

    /// Parses such a line; nil if it is invalid.
    package init?(line: some Collection<UInt8>) {
        let parts = line.split(
            separator: UInt8(ascii: " "), maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, let old = ObjectID(parts[0]), let new = ObjectID(parts[1]),
            let name = RefName(parts[2])
        else { return nil }
        self.init(name: name, old: old, new: new)
    }
}
