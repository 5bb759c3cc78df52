package import Git
package import ObjectStore
package import Repository

// Neither side knows the other: git's files know no store, and a manifest knows no git.

extension PackedRefs {
    /// The refs of a state.
    package init(_ manifest: Manifest) {
        self.init(
            refs: manifest.refs, peeled: manifest.peeled ?? (manifest.needsPeeled ? nil : [:]))
    }
}

extension HashedFile {
    /// The file as the body of an object.
    package var body: ObjectBody { .file(path: path, size: size, digest: digest) }
}

extension VerifiedPack {
    /// The pack as the body of an object.
    package var pack: ObjectBody { packFile.body }
    /// The pack's index as the body of an object.
    package var index: ObjectBody { indexFile.body }
}
