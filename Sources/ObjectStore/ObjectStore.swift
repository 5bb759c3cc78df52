package import Bytes
package import Posix

/// A backend that stores objects and satisfies the three required guarantees: durable writes, read
/// after write, compare-and-swap.
///
/// A backend performs single requests. Everything else that reads and pushes need (retries,
/// content-addressed writes, the pointer's provisional answers) is implemented once, in extensions.
package protocol ObjectStore: Sendable {
    /// The location of the objects, for display: `s3://bucket/prefix`. It contains no secret.
    var location: String { get }

    /// How often and when a repeatable request is repeated.
    var retryPolicy: RetryPolicy { get }

    /// Whether a body that is damaged on its way is detected when it is written: the backend
    /// compares the body with a checksum in the request, or returns the MD5 of the received bytes.
    /// The conformance probe determines this.
    var checksBodies: Bool { get }

    /// The features and checks of the backend, as far as this store uses them.
    var dialect: Dialect { get }

    /// The server software that has answered so far; empty for a store without a server.
    var servers: ServerNames { get }

    /// The same store, as if no server software had answered yet.
    func watchingAnew() -> any ObjectStore

    /// Performs independent requests, in parallel if the backend can.
    ///
    /// Each is attempted once, as far as the backend can know. A PUT without an answer, or with a
    /// 5xx, may have been applied, or may be applied later. Nothing may be reported as done that
    /// was not: a PUT with the answer ``StoreAnswer/stored(_:)`` is durable.
    ///
    /// - Returns: one result for each request, in order.
    func perform(_ requests: [StoreRequest]) -> [Result<StoreAnswer, StoreError>]

    /// Lists the keys that begin with `prefix` and follow `startingAfter`, at most 1000, in the
    /// backend's order: by their bytes, or by path components, `a/b` before `a-b/c`.
    func list(
        prefix: String, startingAfter: String?
    ) throws(StoreError) -> [ListedObject]

    /// Returns the same store with another dialect; nil if it does not support that. Only the
    /// conformance probe and its record choose a dialect.
    func speaking(_ dialect: Dialect) -> (any ObjectStore)?

    /// Writes a body with one checksum, which may be deliberately wrong, for the conformance probe.
    /// nil if the store does not send checksums of this kind.
    func put(
        _ bytes: [UInt8], at key: ObjectKey, claiming claim: BodyClaim
    ) -> Result<StoreAnswer, StoreError>?
}

extension ObjectStore {
    package var checksBodies: Bool { !dialect.isDisjoint(with: .bodyChecks) }

    package var dialect: Dialect { [] }

    package var servers: ServerNames { ServerNames() }

    package func watchingAnew() -> any ObjectStore { self }

    package func speaking(_ dialect: Dialect) -> (any ObjectStore)? {
        dialect == self.dialect ? self : nil
    }

    package func put(
        _ bytes: [UInt8], at key: ObjectKey, claiming claim: BodyClaim
    ) -> Result<StoreAnswer, StoreError>? { nil }
}

/// A request to a store.
package enum StoreRequest: Sendable {
    case get(ObjectKey, into: Destination)
    /// Reads only the metadata. S3 HeadObject.
    case head(ObjectKey)
    case put(ObjectBody, at: ObjectKey, PutCondition)
    case delete(ObjectKey)

    package var key: ObjectKey {
        switch self {
        case .get(let key, _), .head(let key), .put(_, let key, _), .delete(let key): key
        }
    }
}

/// The destination of a GET's body.
package enum Destination: Sendable {
    /// Memory. A body of more than `limit` bytes is an error, ``StoreError/tooLarge(_:limit:)``.
    case memory(limit: Int)
    /// The file at this path, which is created or truncated first. It is incomplete after an error.
    case file(String)
    /// Nowhere: only the body's size and SHA-256 are needed.
    case nowhere
}

/// The body of a PUT. The digest is its SHA-256, which also signs the request.
package enum ObjectBody: Sendable {
    case bytes([UInt8], Digest)
    case file(path: String, size: Int64, digest: Digest)

    /// A body in memory.
    package static func bytes(_ bytes: [UInt8]) -> ObjectBody {
        .bytes(bytes, Digest(of: bytes))
    }

    package var digest: Digest {
        switch self {
        case .bytes(_, let digest), .file(_, _, let digest): digest
        }
    }

    /// Bytes.
    package var size: Int64 {
        switch self {
        case .bytes(let bytes, _): Int64(bytes.count)
        case .file(_, let size, _): size
        }
    }
}

/// The condition of a PUT. RFC 9110 §13.1.
package enum PutCondition: Hashable, Sendable {
    case always
    /// `If-None-Match: *`.
    case ifAbsent
    /// `If-Match`.
    case ifMatch(ETag)
}

/// The answer of a store.
package enum StoreAnswer: Sendable {
    /// To a GET or a HEAD.
    case found(StoredObject)
    /// To a GET, a HEAD or a DELETE: the object does not exist (but the bucket does).
    case absent
    /// To a PUT: written. The ETag is nil if the answer had none, or a weak one.
    case stored(ETag?)
    /// To a conditional PUT: not written, according to this answer.
    case notStored(Refusal)
    /// To a DELETE.
    case deleted

    /// Why a conditional PUT was not written.
    package enum Refusal: Hashable, Sendable {
        /// 412, or the comparison in a file store.
        case conditionFailed
        /// 409 ConditionalRequestConflict.
        case conflict
        /// 404 to an If-Match.
        case absent
    }
}

/// The result of a GET or HEAD.
package struct StoredObject: Sendable {
    /// The body of a GET into memory; empty otherwise.
    package var bytes: [UInt8]
    /// Bytes of the body.
    package var size: Int64
    /// The SHA-256 of the received bytes; nil for a HEAD.
    package var digest: Digest?
    /// The ETag; nil if the answer had none, or a weak one.
    package var etag: ETag?
    /// The SHA-256 that the backend itself keeps for the object; nil if it keeps none.
    package var storedChecksum: Digest?

    package init(
        bytes: [UInt8] = [], size: Int64, digest: Digest?, etag: ETag?,
        storedChecksum: Digest? = nil
    ) {
        self.bytes = bytes
        self.size = size
        self.digest = digest
        self.etag = etag
        self.storedChecksum = storedChecksum
    }
}

/// An entry of a listing.
package struct ListedObject: Hashable, Sendable {
    /// The key, relative to the store's prefix.
    package let key: String
    /// Bytes.
    package let size: Int64

    package init(key: String, size: Int64) {
        self.key = key
        self.size = size
    }
}

extension ObjectBody {
    /// A file's body, with the digest of its bytes.
    package static func file(hashing path: String) throws(SystemError) -> ObjectBody {
        let read = try FileDigest(of: path)
        return .file(path: path, size: read.size, digest: read.digest)
    }
}
