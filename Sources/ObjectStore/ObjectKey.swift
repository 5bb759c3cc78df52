package import Bytes

/// The key of an object, relative to the store's prefix. It is built only from validated parts, so
/// that no key ever needs escaping: `A-Za-z0-9._-` and `/`.
package struct ObjectKey: Hashable, Sendable, CustomStringConvertible {
    /// The key's text, without a leading slash.
    package let path: String

    private init(path: String) { self.path = path }

    /// `packs/<sha256>`.
    package static func pack(_ digest: Digest) -> ObjectKey {
        ObjectKey(path: "packs/" + digest.hex)
    }

    /// `packs/<sha256>.idx`, the pack's derived index.
    package static func packIndex(_ digest: Digest) -> ObjectKey {
        ObjectKey(path: "packs/" + digest.hex + ".idx")
    }

    /// `packs/<sha256>.bitmap`, the pack's derived reachability bitmap. gitformat-bitmap(5).
    package static func packBitmap(_ digest: Digest) -> ObjectKey {
        ObjectKey(path: "packs/" + digest.hex + ".bitmap")
    }

    /// `packs/<sha256>.graph`, the derived commit graph of the pack's commits.
    /// gitformat-commit-graph(5).
    package static func commitGraph(_ digest: Digest) -> ObjectKey {
        ObjectKey(path: "packs/" + digest.hex + ".graph")
    }

    /// `manifests/<sha256>`.
    package static func manifest(_ digest: Digest) -> ObjectKey {
        ObjectKey(path: "manifests/" + digest.hex)
    }

    /// `repos/<owner>/<repo>/pointer`.
    package static func pointer(of repository: RepositoryName) -> ObjectKey {
        ObjectKey(path: "repos/\(repository)/pointer")
    }

    /// A key of the conformance probe.
    ///
    /// - Parameters:
    ///   - run: the probe's run; letters, digits and dashes.
    ///   - name: the object's name; letters, digits and dashes.
    package static func probe(run: String, name: String) -> ObjectKey {
        ObjectKey(path: "probe/\(run)/\(name)")
    }

    /// Returns the digest in a pack's key, `packs/<sha256>`; nil if it is not such a key.
    package static func packDigest(in key: some Collection<UInt8>) -> Digest? {
        let prefix = Array("packs/".utf8)
        guard key.starts(with: prefix) else { return nil }
        return Digest(hex: key.dropFirst(prefix.count))
    }

    package var description: String { path }
}
