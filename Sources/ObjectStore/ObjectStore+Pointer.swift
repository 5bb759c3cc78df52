/// One observation of a pointer: what it names, and the token that a swap is predicated on.
package struct PointerValue: Hashable, Sendable {
    package let digest: Digest
    package let etag: ETag

    package init(digest: Digest, etag: ETag) {
        self.digest = digest
        self.etag = etag
    }
}

/// How a swap of the pointer ended, as far as it is known; not known is an error.
package enum PointerAdvance: Sendable {
    /// The pointer named our digest after our write. The token is nil where another writer has
    /// advanced it further since.
    case won(ETag?)
    /// Another writer's state stands instead, and ours is not among its ancestors.
    case lost(PointerValue)
}

/// What is known of a manifest's ancestors.
package enum Lineage: Sendable {
    /// Ours is among them.
    case includesOurs
    /// They were followed down to our parent, or to the first: ours is not among them.
    case excludesOurs
    /// They could not be followed that far.
    case unknown(reason: String)
}

extension ObjectStore {
    /// Bytes. A pointer has 64; a little more is read so that an error can tell.
    private var pointerLimit: Int { 1024 }

    /// Reads the pointer of a repository with one GET; nil if there is none.
    package func readPointer(
        of repository: RepositoryName
    ) throws(StoreError) -> PointerValue? {
        let key = ObjectKey.pointer(of: repository)
        guard let object = try get(key, limit: pointerLimit) else { return nil }
        guard let digest = Digest(hex: object.bytes) else {
            throw .corrupt(key, reason: "a pointer is 64 lower-case hex digits and nothing else")
        }
        guard let etag = object.etag else {
            throw .nonConforming(.init(.get, key.path), reason: "no strong ETag came with it")
        }
        return PointerValue(digest: digest, etag: etag)
    }

    /// Advances the pointer if it still carries `expected`; nil: if there is none yet.
    ///
    /// An answer that may hide a win (409, 412, 404, none at all) is settled by reading the
    /// pointer: ours, or ours among the ancestors of what it names: won; another: lost; unchanged:
    /// the same conditional PUT again, a bounded number of times.
    ///
    /// - Parameter lineage: whether our digest is among the ancestors of the one given.
    /// - Returns: `.lost` when another writer won; that is normal.
    /// - Throws: ``StoreError/undetermined(_:reason:)`` when the write may have landed; any other
    ///   error means that it has not, but for a ``StoreError/nonConforming(_:reason:)`` 2xx.
    ///
    /// S3 `PutObject` with `If-Match` (RFC 9110 §13.1.1).
    package func advancePointer(
        of repository: RepositoryName, expecting expected: ETag?, to digest: Digest,
        lineage: (Digest) -> Lineage
    ) throws(StoreError) -> PointerAdvance {
        let key = ObjectKey.pointer(of: repository)
        let condition = expected.map(PutCondition.ifMatch) ?? .ifAbsent
        let request = StoreRequest.put(.bytes(digest.bytes, digest.ofDigits), at: key, condition)
        var mayHaveLanded = false
        var last = "no attempt was made"

        for attempt in 1...max(retryPolicy.attempts, 1) {
            if attempt > 1 { retryPolicy.pause(before: attempt - 1) }
            switch Result(catching: { () throws(StoreError) in try performOnce(request) }) {
            case .success(.stored(let etag)):
                guard let etag else {
                    throw .nonConforming(
                        .init(request), reason: "a successful write gave no strong ETag")
                }
                return .won(etag)
            case .success(.notStored(let refusal)):
                last = "the store answered \(refusal)"
            case .failure(let error) where error.isTransient:
                mayHaveLanded = true
                last = "\(error)"
            case .success(let other):
                throw unexpected(other, to: request)
            case .failure(let error):
                if mayHaveLanded { throw .undetermined(key, reason: "\(last); then: \(error)") }
                throw error
            }
            if let settled = try settle(repository, expected, digest, lineage, last) {
                return settled
            }
        }
        if mayHaveLanded { throw .undetermined(key, reason: last) }
        throw .nonConforming(
            .init(request), reason: "\(last), though the pointer is what the condition names")
    }

    /// Reads the pointer after a provisional answer. nil: it is unchanged.
    private func settle(
        _ repository: RepositoryName, _ expected: ETag?, _ digest: Digest,
        _ lineage: (Digest) -> Lineage, _ last: String
    ) throws(StoreError) -> PointerAdvance? {
        let key = ObjectKey.pointer(of: repository)
        let current: PointerValue?
        do {
            current = try readPointer(of: repository)
        } catch {
            throw .undetermined(key, reason: "\(last); then: \(error)")
        }
        guard let current else {
            if expected == nil { return nil }
            throw .undetermined(key, reason: "\(last); then the pointer was gone")
        }
        if current.digest == digest { return .won(current.etag) }
        if current.etag == expected { return nil }
        switch lineage(current.digest) {
        case .includesOurs: return .won(nil)
        case .excludesOurs: return .lost(current)
        case .unknown(let reason):
            throw .undetermined(key, reason: "\(last); then: \(reason)")
        }
    }

    private func performOnce(_ request: StoreRequest) throws(StoreError) -> StoreAnswer {
        guard let result = perform([request]).first else {
            throw .nonConforming(StoreError.Attempt(request), reason: "no result")
        }
        return try result.get()
    }
}

extension Digest {
    /// The SHA-256 of this digest's 64 digits: what a pointer's body hashes to.
    fileprivate var ofDigits: Digest { Digest(of: bytes) }
}
