import GitProtocol

/// A manifest's refs as git's `packed-refs` file. git-pack-refs(1); the format is in git's
/// refs/packed-backend.c.
package struct PackedRefs {
    private let manifest: Manifest

    package init(_ manifest: Manifest) {
        self.manifest = manifest
    }

    /// The file. Where it is not known what refs peel to, git is left to find out.
    package var bytes: [UInt8] {
        let isPeeled = manifest.peeled != nil || !manifest.needsPeeled
        var file = Array(
            "# pack-refs with:\(isPeeled ? " peeled fully-peeled" : "") sorted \n".utf8)
        for (name, id) in manifest.refs.sorted(by: { $0.key < $1.key }) {
            id.appendHex(to: &file)
            file.append(UInt8(ascii: " "))
            file += name.bytes
            file.append(UInt8(ascii: "\n"))
            if let peeled = manifest.peeled?[name] {
                file.append(UInt8(ascii: "^"))
                peeled.appendHex(to: &file)
                file.append(UInt8(ascii: "\n"))
            }
        }
        return file
    }
}
