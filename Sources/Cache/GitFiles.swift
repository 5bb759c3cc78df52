package import Git
package import ObjectStore
package import Repository

// The values on both sides know nothing of each other: git's files of no store, a manifest of no git.

extension PackedRefs {
    /// The refs of a state.
    package init(_ manifest: Manifest) {
        self.init(
            refs: manifest.refs, peeled: manifest.peeled ?? (manifest.needsPeeled ? nil : [:]))
    }
}

extension HashedFile {
    /// The body that the file is stored as.
    package var body: ObjectBody { .file(path: path, size: size, digest: digest) }
}

extension VerifiedPack {
    /// The body that the pack is stored as.
    package var pack: ObjectBody { packFile.body }
    /// The body that its index is stored as.
    package var index: ObjectBody { indexFile.body }
}
