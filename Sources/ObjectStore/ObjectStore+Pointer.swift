package import Bytes

/// One observation of a pointer: its digest, and the token that a swap is predicated on.
package struct PointerValue: Hashable, Sendable {
    package let digest: Digest
    package let etag: ETag

    package init(digest: Digest, etag: ETag) {
        self.digest = digest
        self.etag = etag
    }
}

extension PointerValue {
    /// Parses the result of a GET of a pointer.
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

/// The outcome of a swap of the pointer. An unknown outcome is an error.
package enum PointerAdvance: Sendable {
    /// The pointer contained our digest after our write. The token is nil if another writer has
    /// advanced it further since.
    case won(ETag?)
    /// Another writer's state is published instead, and ours is not among its ancestors.
    case lost(PointerValue)
}

/// The known ancestry of a manifest.
package enum Lineage: Sendable {
    /// Ours is among its ancestors.
    case includesOurs
    /// Its ancestors were followed to our parent, or to the first one, and ours is not among them.
    case excludesOurs
    /// Its ancestors could not be followed that far.
    case unknown(reason: String)
}

extension ObjectStore {
    /// Bytes that are read. A pointer has 64; reading more makes a longer one an error.
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

    /// Reads the pointers of several repositories, in parallel; nil for each that does not exist.
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

    /// Advances the pointer if it still has the ETag `expected`, or if it does not exist and
    /// `expected` is nil.
    ///
    /// An answer that may hide a win (409, 412, 404, none at all, and any other that follows an
    /// earlier copy of the request) is provisional, and is resolved by reading the pointer. If it
    /// specifies our digest, or a descendant of it, the swap was won; if another one, it was lost;
    /// if it is unchanged, the same conditional PUT is repeated, a limited number of times.
    ///
    /// - Parameter lineage: whether our digest is among the ancestors of the given one.
    /// - Returns: `.lost` when another writer won; that is normal.
    /// - Throws: ``StoreError/undetermined(_:reason:)`` if the write may have been applied, or was,
    ///   with a 2xx without a strong ETag. After any other error nothing was or will be written.
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
                // If none was expected, a missing pointer is unchanged. But a 412 says that there
                // was one, and it may have been ours.
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
        // Refusals do not prove that nothing was applied: the refused request may have been a
        // second copy, resent by the HTTP library, while the first one was still on its way.
        throw .undetermined(
            key, reason: doubts.sentence + ", although the pointer matches the condition")
    }

    /// Attempts one conditional PUT of the pointer, and adds the reasons for an open outcome to
    /// `doubts`.
    private func attemptSwap(
        _ request: StoreRequest, _ key: ObjectKey, _ doubts: inout [String]
    ) throws(StoreError) -> SwapAnswer {
        let answer: StoreAnswer
        do {
            answer = try performOnce(request)
        } catch {
            doubts.append("\(error)")
            // A refusal proves nothing if an earlier copy, sent by us or by the HTTP library, may
            // have been applied or may still be on its way.
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

    /// Reads the pointer after a provisional answer. If that fails, the outcome stays unknown.
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

/// The answer to one conditional PUT of the pointer, on its own.
private enum SwapAnswer: Equatable {
    case won(ETag)
    /// Provisional: an earlier copy of the same request may have won.
    case refused(StoreAnswer.Refusal)
    /// Provisional: there was no answer that covers every copy.
    case unheard
}

extension [String] {
    /// The doubts in their order, without consecutive repetitions.
    fileprivate var sentence: String {
        var distinct: [String] = []
        for doubt in self where distinct.last != doubt { distinct.append(doubt) }
        return distinct.joined(separator: "; then: ")
    }
}

extension Digest {
    /// The SHA-256 of this digest's 64 digits, that is, of a pointer's body.
    fileprivate var ofDigits: Digest { Digest(of: bytes) }
}
