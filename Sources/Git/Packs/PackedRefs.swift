package import GitProtocol

/// Refs and their peeled values, and git's `packed-refs` file for them. git-pack-refs(1); the
/// format is in git's refs/packed-backend.c.
package struct PackedRefs {
    package let refs: [RefName: ObjectID]
    /// Annotated tag ref → the object that it fully peels to; nil if that is unknown.
    package let peeled: [RefName: ObjectID]?

    package init(refs: [RefName: ObjectID], peeled: [RefName: ObjectID]?) {
        self.refs = refs
        self.peeled = peeled
    }

    /// The file. If the peeled values are unknown, git determines them.
    package var bytes: [UInt8] {
        var file = Array(
            "# pack-refs with:\(peeled != nil ? " peeled fully-peeled" : "") sorted \n".utf8)
        for (name, id) in refs.sorted(by: { $0.key < $1.key }) {
            id.appendHex(to: &file)
            file.append(UInt8(ascii: " "))
            file += name.bytes
            file.append(UInt8(ascii: "\n"))
            if let target = peeled?[name] {
                file.append(UInt8(ascii: "^"))
                target.appendHex(to: &file)
                file.append(UInt8(ascii: "\n"))
            }
        }
        return file
    }
}
