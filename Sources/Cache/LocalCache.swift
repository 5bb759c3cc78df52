package import Posix

/// The data that one machine keeps between requests: packs, manifests, and the size file that
/// bounds both. It is never the truth, and any of it may vanish at any time. Any number of
/// processes may share it.
package struct LocalCache: Sendable {
    package let space: CacheSpace
    package let packs: PackCache
    package let manifests: ManifestCache

    /// Opens the cache in a state directory.
    ///
    /// - Parameters:
    ///   - state: the state directory's path.
    ///   - size: the maximum size in bytes.
    /// - Returns: nil if the size is 0: nothing is kept between requests.
    package init?(in state: String, size: Int64) {
        self.init(in: state, size: size, files: .system)
    }

    /// - Parameter patience: how long to wait for another request's download of a pack that makes
    ///   no progress.
    package init?(
        in state: String, size: Int64, files: FileLink, patience: Duration = .seconds(600)
    ) {
        guard size > 0 else { return nil }
        space = CacheSpace(
            limit: size, sizeFile: state + "/cache-size",
            directories: [state + "/packs", state + "/manifests"])
        packs = PackCache(in: state, space: space, files: files, patience: patience)
        manifests = ManifestCache(in: state, space: space)
    }
}
