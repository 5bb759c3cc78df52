extension PackedRefs {
    /// The refs of a state.
    package init(_ manifest: Manifest) {
        self.init(
            refs: manifest.refs, peeled: manifest.peeled ?? (manifest.needsPeeled ? nil : [:]))
    }
}
