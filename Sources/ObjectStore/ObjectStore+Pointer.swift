/// One observation of a pointer: what it names, and the token that a swap is predicated on.
package struct PointerValue: Hashable, Sendable {
    package let digest: Digest
    package let etag: ETag

    package init(digest: Digest, etag: ETag) {
        self.digest = digest
        self.etag = etag
    }
}

extension PointerValue {
    /// Takes what a GET of a pointer found.
    fileprivate init(_ object: StoredObject, at key: ObjectKey) throws(StoreError) {
        guard let digest = Digest(hex: object.bytes) else {
            throw .corrupt(key, reason: "expected 64 lower-case hex digits")
        }
        guard let etag = object.etag else {
            throw .nonConforming(.init(.get, key.path), reason: "the response has no strong ETag")
        }
        self.init(digest: digest, etag: etag)
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
        return try get(key, limit: pointerLimit).map { object throws(StoreError) in
            try PointerValue(object, at: key)
        }
    }

    /// Reads the pointers of several repositories, in parallel; nil where there is none.
    ///
    /// - Returns: one result for each, in order.
    package func readPointers(
        of repositories: [RepositoryName]
    ) -> [Result<PointerValue?, StoreError>] {
        let keys = repositories.map { ObjectKey.pointer(of: $0) }
        return get(keys, limit: pointerLimit).enumerated().map { index, result in
            result.flatMap { object in
                Result { () throws(StoreError) in
                    try object.map { object throws(StoreError) in
                        try PointerValue(object, at: keys[index])
                    }
                }
            }
        }
    }

    /// Advances the pointer if it still carries `expected`; nil: if there is none yet.
    ///
    /// An answer that may hide a win (409, 412, 404, none at all, and any other that follows an
    /// earlier copy of the request) is provisional, and settled by reading the pointer: ours, or
    /// ours among the ancestors of what it names: won; another: lost; unchanged: the same
    /// conditional PUT again, a bounded number of times.
    ///
    /// - Parameter lineage: whether our digest is among the ancestors of the one given.
    /// - Returns: `.lost` when another writer won; that is normal.
    /// - Throws: ``StoreError/undetermined(_:reason:)`` when the write may have landed, or has, with
    ///   a 2xx that gave no strong ETag. After any other, nothing of it was written or will be.
    ///
    /// S3 `PutObject` with `If-Match` (RFC 9110 §13.1.1).
    package func advancePointer(
        of repository: RepositoryName, expecting expected: ETag?, to digest: Digest,
        lineage: (Digest) -> Lineage
    ) throws(StoreError) -> PointerAdvance {
        let key = ObjectKey.pointer(of: repository)
        let condition = expected.map(PutCondition.ifMatch) ?? .ifAbsent
        let request = StoreRequest.put(.bytes(digest.bytes, digest.ofDigits), at: key, condition)
        var doubts: [String] = []

        for attempt in 1...max(retryPolicy.attempts, 1) {
            if attempt > 1 { retryPolicy.pause(before: attempt - 1) }
            let answer = try attemptSwap(request, key, &doubts)
            if case .won(let etag) = answer { return .won(etag) }

            guard let current = try observePointer(of: repository, doubts) else {
                // Where none was expected, none is no change; but 412 says that there was one, and
                // it may have been ours.
                if expected == nil, answer != .refused(.conditionFailed) { continue }
                throw .undetermined(
                    key,
                    reason: doubts.sentence + "; then the pointer did not exist")
            }
            if current.digest == digest { return .won(current.etag) }
            if current.etag == expected { continue }
            switch lineage(current.digest) {
            case .includesOurs: return .won(nil)
            case .excludesOurs: return .lost(current)
            case .unknown(let reason):
                throw .undetermined(key, reason: doubts.sentence + "; then: " + reason)
            }
        }
        // Refusals alone do not prove that nothing landed either: what was refused may have been
        // a second copy, re-sent by the HTTP library, with the first one still on its way.
        throw .undetermined(
            key, reason: doubts.sentence + ", although the pointer matches the condition")
    }

    /// One conditional PUT of the pointer. What leaves its outcome open is added to `doubts`.
    private func attemptSwap(
        _ request: StoreRequest, _ key: ObjectKey, _ doubts: inout [String]
    ) throws(StoreError) -> SwapAnswer {
        let answer: StoreAnswer
        do {
            answer = try performOnce(request)
        } catch {
            doubts.append("\(error)")
            // With an earlier copy that may have landed or be on its way, sent by us or by the HTTP
            // library, a refusal of this one proves nothing.
            if doubts.count > 1 || error.leavesWriteUnknown { return .unheard }
            throw error
        }
        switch answer {
        case .stored(let etag?): return .won(etag)
        case .stored(nil):
            throw .undetermined(
                key,
                reason: "the store does not conform: it reported success, but without a strong ETag"
            )
        case .notStored(let refusal):
            doubts.append("the store answered \(refusal)")
            return .refused(refusal)
        default: throw unexpected(answer, to: request)
        }
    }

    /// Reads the pointer after a provisional answer, which stays unsettled if that fails.
    private func observePointer(
        of repository: RepositoryName, _ doubts: [String]
    ) throws(StoreError) -> PointerValue? {
        do {
            return try readPointer(of: repository)
        } catch {
            throw .undetermined(
                .pointer(of: repository), reason: doubts.sentence + "; then: \(error)")
        }
    }

    private func performOnce(_ request: StoreRequest) throws(StoreError) -> StoreAnswer {
        guard let result = perform([request]).first else {
            throw .nonConforming(StoreError.Attempt(request), reason: "no result")
        }
        return try result.get()
    }
}

/// What one conditional PUT of the pointer says by itself.
private enum SwapAnswer: Equatable {
    case won(ETag)
    /// Provisional: an earlier copy of the same request may have won.
    case refused(StoreAnswer.Refusal)
    /// Provisional: no answer that says anything of every copy.
    case unheard
}

extension [String] {
    /// Doubts in the order in which they arose, each once where it repeats.
    fileprivate var sentence: String {
        var distinct: [String] = []
        for doubt in self where distinct.last != doubt { distinct.append(doubt) }
        return distinct.joined(separator: "; then: ")
    }
}

extension Digest {
    /// The SHA-256 of this digest's 64 digits: what a pointer's body hashes to.
    fileprivate var ofDigits: Digest { Digest(of: bytes) }
}
