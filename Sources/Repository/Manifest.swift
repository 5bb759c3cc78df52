package import Bytes
package import GitProtocol
import ObjectStore
import Posix

/// The published state of a repository: its refs, and the packs that hold what they reach.
///
/// A manifest is stored under the SHA-256 of its canonical bytes, and never changed. The bytes are
/// those of ``ManifestFields``; this is their validated meaning.
package struct Manifest: Equatable, Sendable {
    /// The state of a repository whose pointer points to this manifest.
    package enum Kind: Equatable, Sendable {
        /// Version 1.
        case live
        /// Version 2: deleted or renamed.
        case tombstone
    }

    package var kind: Kind
    /// The branch that HEAD points to; it may be unborn.
    package var head: RefName
    package var refs: [RefName: ObjectID]
    /// The packs' digests.
    package var packs: Set<Digest>
    /// The manifest that this one supersedes; nil for the first.
    package var parent: Digest?
    /// Annotated tag ref → the object that it fully peels to; a ref that is not listed peels to
    /// itself. nil if that is unknown, as writers of the older format leave it.
    package var peeled: [RefName: ObjectID]?
    package var objectFormat: ObjectFormat
    /// Distinguishes a tombstone from any other on top of the same state. Without it, two
    /// concurrent deletions would publish the same bytes, and each would take the other's swap for
    /// its own.
    package var mark: Digest?
    /// The new name and first state of a renamed repository, in the tombstone at its old name.
    /// Until that state is published there it is a claim: ``PastState/closeClaims(except:in:)``.
    package var destination: Destination?

    /// The place where a renamed repository continues.
    package struct Destination: Hashable, Sendable {
        /// The new name.
        package let name: String
        /// The first state under that name.
        package let digest: Digest

        package init(name: String, digest: Digest) {
            self.name = name
            self.digest = digest
        }
    }

    package init(
        kind: Kind = .live, head: RefName, refs: [RefName: ObjectID] = [:],
        packs: Set<Digest> = [], parent: Digest? = nil, peeled: [RefName: ObjectID]? = nil,
        objectFormat: ObjectFormat = .sha1, mark: Digest? = nil
    ) {
        self.kind = kind
        self.head = head
        self.refs = refs
        self.packs = packs
        self.parent = parent
        self.peeled = peeled
        self.objectFormat = objectFormat
        self.mark = mark
    }

    /// Returns a new tombstone for a state, different from any other.
    package static func tombstone(
        for state: Manifest, movingTo destination: Destination? = nil
    ) -> Manifest {
        var tombstone = Manifest(
            kind: .tombstone, head: state.head, objectFormat: state.objectFormat,
            mark: Digest(of: Array(Hex.random().utf8)))
        tombstone.destination = destination
        return tombstone
    }

    /// The largest size of a manifest in bytes; 256 MiB hold some two million refs.
    package static let maximumSize = 256 << 20

    /// The reason why bytes or values are not a valid manifest.
    package struct Invalid: Error, Equatable, CustomStringConvertible {
        package let description: String

        init(_ description: String) { self.description = description }
    }

    /// Whether `peeled` must be present: as soon as a ref is outside `refs/heads/`.
    package var needsPeeled: Bool { refs.keys.contains { !$0.isBranch } }

    /// Checks a manifest before it is written, and after it was read.
    func validate() throws(Invalid) {
        guard head.isBranch else { throw Invalid("its head is not under refs/heads/") }
        for (name, id) in refs {
            guard id.format == objectFormat, !id.isZero else {
                throw Invalid("the id of '\(name)' is not one of \(objectFormat.rawValue)")
            }
        }
        for (name, id) in peeled ?? [:] {
            guard refs[name] != nil else { throw Invalid("'\(name)' is peeled but is no ref") }
            guard id.format == objectFormat, !id.isZero else {
                throw Invalid("'\(name)' peels to no id of \(objectFormat.rawValue)")
            }
        }
        if kind == .tombstone, !refs.isEmpty { throw Invalid("a tombstone with refs") }
        if kind == .live, mark != nil { throw Invalid("a mark on what is no tombstone") }
        if kind == .live, destination != nil { throw Invalid("'to' in what is no tombstone") }
    }
}
