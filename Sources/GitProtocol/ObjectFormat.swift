/// The hash that names a repository's objects. gitformat-signature aside, git's `objectFormat`.
package enum ObjectFormat: String, Sendable {
    case sha1
    case sha256

    /// Digits of an object id.
    package var hexLength: Int {
        switch self {
        case .sha1: 40
        case .sha256: 64
        }
    }

    /// Bytes of a hash, as packs and indexes carry it in their trailers.
    package var rawLength: Int { hexLength / 2 }
}
