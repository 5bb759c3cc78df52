package import Bytes

/// A backend that keeps objects and satisfies the three axioms: durable write, read-after-write,
/// compare-and-swap.
///
/// A backend carries out single requests; what a read and a push need of them (retries, the
/// content-addressed write, the pointer's provisional answers) is written once, in the extensions.
package protocol ObjectStore: Sendable {
    /// Where the objects are, for people: `s3://bucket/prefix`. Never a secret.
    var location: String { get }

    /// How often and when a request that may be repeated is.
    var retryPolicy: RetryPolicy { get }

    /// Whether damage to the body of a PUT on its way is noticed when it is written: the backend
    /// compares the body with a checksum sent along, or returns the MD5 of what arrived. Found by
    /// the conformance probe.
    var checksBodies: Bool { get }

    /// What the backend understands and checks, as far as this store makes use of it.
    var dialect: Dialect { get }

    /// The server software that has answered so far; empty for a store without a server.
    var servers: ServerNames { get }

    /// The same store, as if no server software had answered yet.
    func watchingAnew() -> any ObjectStore

    /// Carries out independent requests, in parallel where the backend can.
    ///
    /// Each is attempted once, as far as the backend can know; a PUT that got no answer, or 5xx,
    /// may have been applied, or be applied later. Nothing here may be reported as done that was
    /// not: a PUT with an answer ``StoreAnswer/stored(_:)`` is durable.
    ///
    /// - Returns: one result for each request, in order.
    func perform(_ requests: [StoreRequest]) -> [Result<StoreAnswer, StoreError>]

    /// The keys that begin with `prefix` and come after `startingAfter`, at most 1000, in the
    /// backend's order: that of their bytes, or part by part, `a/b` before `a-b/c`.
    func list(
        prefix: String, startingAfter: String?
    ) throws(StoreError) -> [ListedObject]

    /// The same store, speaking another dialect; nil where it cannot. Only the conformance probe
    /// and its record choose one.
    func speaking(_ dialect: Dialect) -> (any ObjectStore)?

    /// Writes a body with one checksum sent along, which may be deliberately wrong: for the
    /// conformance probe. nil where the store sends none of this kind.
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

/// One request to a store.
package enum StoreRequest: Sendable {
    case get(ObjectKey, into: Destination)
    /// Metadata alone. S3 HeadObject.
    case head(ObjectKey)
    case put(ObjectBody, at: ObjectKey, PutCondition)
    case delete(ObjectKey)

    package var key: ObjectKey {
        switch self {
        case .get(let key, _), .head(let key), .put(_, let key, _), .delete(let key): key
        }
    }
}

/// Where a GET's body goes.
package enum Destination: Sendable {
    /// Into memory; a body of more than `limit` bytes is an error, ``StoreError/tooLarge(_:limit:)``.
    case memory(limit: Int)
    /// Into the file at this path, made or emptied first; unfinished after an error.
    case file(String)
    /// Nowhere: only the body's size and SHA-256 are wanted.
    case nowhere
}

/// What a PUT writes. The digest is the body's SHA-256, which signs the request too.
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

/// When a PUT may be applied. RFC 9110 §13.1.
package enum PutCondition: Hashable, Sendable {
    case always
    /// `If-None-Match: *`.
    case ifAbsent
    /// `If-Match`.
    case ifMatch(ETag)
}

/// What a store answered.
package enum StoreAnswer: Sendable {
    /// To a GET or a HEAD.
    case found(StoredObject)
    /// To a GET, a HEAD or a DELETE: there is no such object (the bucket itself exists).
    case absent
    /// To a PUT: written. nil: the answer had no ETag, or a weak one.
    case stored(ETag?)
    /// To a conditional PUT: not written, as far as this answer knows.
    case notStored(Refusal)
    /// To a DELETE.
    case deleted

    /// Why a conditional PUT was not written.
    package enum Refusal: Hashable, Sendable {
        /// 412, or a file store's own comparison.
        case conditionFailed
        /// 409 ConditionalRequestConflict.
        case conflict
        /// 404 to an If-Match.
        case absent
    }
}

/// What a GET or HEAD found.
package struct StoredObject: Sendable {
    /// The body of a GET into memory; empty otherwise.
    package var bytes: [UInt8]
    /// Bytes of the body.
    package var size: Int64
    /// The SHA-256 of what was received; nil for a HEAD.
    package var digest: Digest?
    /// nil: none was given, or a weak one.
    package var etag: ETag?
    /// The SHA-256 that the backend itself keeps for the object, where it does.
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

/// One line of a listing.
package struct ListedObject: Hashable, Sendable {
    /// Relative to the store's prefix.
    package let key: String
    /// Bytes.
    package let size: Int64

    package init(key: String, size: Int64) {
        self.key = key
        self.size = size
    }
}
