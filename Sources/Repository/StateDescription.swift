package import Bytes
import GitProtocol
import ObjectStore

/// A repository's published state as JSON, for programs. The members and their order are
/// documented, and new members are only ever added.
package struct StateDescription {
    private let snapshot: Snapshot
    private var manifest: Manifest { snapshot.manifest }

    package init(_ snapshot: Snapshot) {
        self.snapshot = snapshot
    }

    /// One line of a list of repositories.
    package var summary: JSONBytes {
        object(
            identity + [
                ("refCount", .integer(manifest.refs.count)),
                ("packCount", .integer(manifest.packs.count)),
            ])
    }

    /// The whole description.
    ///
    /// - Parameter sizes: the size in bytes of each pack, if they were looked up.
    package func whole(sizes: [Digest: Int64]) -> JSONBytes {
        object(
            identity + [
                ("refs", .array(refs)),
                (
                    "packs",
                    .array(
                        manifest.packs.sorted { $0.hex < $1.hex }.map { pack in
                            var members = [("key", JSONBytes.text(ObjectKey.pack(pack)))]
                            if let size = sizes[pack] { members.append(("size", .integer(size))) }
                            return object(members)
                        })
                ),
            ])
    }

    private var identity: [(String, JSONBytes)] {
        [
            ("name", .text(snapshot.repository)),
            ("deleted", .bool(manifest.kind == .tombstone)),
            ("manifest", .text(snapshot.digest)),
            ("parent", .optional(manifest.parent)),
            ("head", .string(manifest.head.bytes)),
            ("objectFormat", .text(manifest.objectFormat.rawValue)),
        ]
    }

    private var refs: [JSONBytes] {
        manifest.refs.sorted { $0.key < $1.key }.map { name, id in
            var members = [("name", JSONBytes.string(name.bytes)), ("id", .text(id))]
            if let peeled = manifest.peeled?[name] { members.append(("peeled", .text(peeled))) }
            return object(members)
        }
    }

    private func object(_ members: [(String, JSONBytes)]) -> JSONBytes {
        .object(members.map { (Array($0.0.utf8), $0.1) })
    }
}
