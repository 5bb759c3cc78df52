package import ObjectStore

/// Whether published objects are read back from the store.
package enum UploadVerification: String, CaseIterable, Sendable {
    case on, off
    /// Verify if damage on the way could be stored: the store is reached over a network and does
    /// not compare the bytes that it receives with a checksum.
    case auto

    /// - Parameters:
    ///   - store: the admitted store.
    ///   - isLocal: whether it is a directory, which this program writes itself.
    package func isWanted(of store: any ObjectStore, isLocal: Bool) -> Bool {
        switch self {
        case .on: true
        case .off: false
        case .auto: !isLocal && !store.checksBodies
        }
    }
}
