/// The hash function for a repository's object ids: git's `objectFormat`.
package enum ObjectFormat: String, Sendable {
    case sha1
    case sha256

    /// The number of digits of an object id.
    package var hexLength: Int {
        switch self {
        case .sha1: 40
        case .sha256: 64
        }
    }

    /// The length of a hash in bytes, as in the trailers of packs and indexes.
    package var rawLength: Int { hexLength / 2 }
}
