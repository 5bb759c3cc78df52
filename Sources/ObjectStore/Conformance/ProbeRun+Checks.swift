import Bytes

/// The detection of body checks, before the phases. No result rejects a store; a header that the
/// backend rejects or does not answer counts as not supported.
extension ProbeRun {
    /// - Throws: only if the store does not answer at all.
    func findBodyChecks() throws(ProbeFailure) -> Dialect {
        defer { removeKeys() }

        try expectAnswer()
        var found: Dialect = []
        if let key = honoredClaim(.sha256) {
            found.insert(.checksSHA256)
            if keepsSHA256(at: key.key, of: key.body) { found.insert(.keepsSHA256) }
        }
        if honoredClaim(.md5) != nil { found.insert(.checksMD5) }
        if etagsAreMD5(found) { found.insert(.etagIsMD5) }
        return found
    }

    /// Fails for a store that cannot be reached, since each check would wait for as long again.
    private func expectAnswer() throws(ProbeFailure) {
        let step = ProbeStep(phase: .sequential, round: 1, key: freshKey("answer"))
        guard case .failure(let error)? = answered(.head(step.key)), error.isTransient else {
            return
        }
        throw failure(
            step, "\(Self.patience) consecutive reads got no answer; the last error: \(error)")
    }

    /// Returns the object that a PUT with the right checksum wrote; nil unless one with a wrong
    /// checksum was refused and created nothing.
    private func honoredClaim(_ kind: BodyClaim.Kind) -> (key: ObjectKey, body: [UInt8])? {
        let refused = freshKey("wrong-checksum")
        guard case .refused = claim(.init(kind, isTrue: false), freshBody("claim"), at: refused),
            case .success(.absent)? = answered(.head(refused))
        else { return nil }

        let key = freshKey("right-checksum")
        let body = freshBody("claim")
        guard case .stored = claim(.init(kind, isTrue: true), body, at: key),
            case .success(.found(let object))? = answered(.get(key, into: .memory(limit: 4096))),
            object.bytes == body
        else { return nil }
        return (key, body)
    }

    private func keepsSHA256(at key: ObjectKey, of body: [UInt8]) -> Bool {
        guard case .success(.found(let object))? = answered(.head(key)) else { return false }
        return object.storedChecksum == Digest(of: body)
    }

    /// Compares the ETags of two bodies, so that no constant is mistaken for a hash.
    private func etagsAreMD5(_ found: Dialect) -> Bool {
        for _ in 1...2 {
            let key = freshKey("md5-etag")
            let body = freshBody("etag")
            // A bucket may accept only requests with a checksum.
            let claimed: BodyClaim? =
                found.contains(.checksMD5)
                ? .init(.md5, isTrue: true)
                : found.contains(.checksSHA256) ? .init(.sha256, isTrue: true) : nil
            guard case .stored(let etag?) = claim(claimed, body, at: key),
                let told = etag.md5, told == MD5.hash(of: body)
            else { return false }
        }
        return true
    }

    /// The answer to a write with a checksum.
    private enum ClaimAnswer { case stored(ETag?), refused, unknown }

    /// Writes with a checksum, and repeats the write until it is answered.
    private func claim(
        _ claim: BodyClaim?, _ body: [UInt8], at key: ObjectKey
    ) -> ClaimAnswer {
        for _ in 0..<Self.patience {
            let result =
                if let claim {
                    store.put(body, at: key, claiming: claim)
                } else {
                    store.perform([.put(.bytes(body), at: key, .always)]).first
                }
            switch result {
            case .success(.stored(let etag))?: return .stored(etag)
            case .failure(let error)? where error.isTransient:
                countDrop()
                store.retryPolicy.pause(before: 1)
            case .failure?: return .refused
            default: return .unknown
            }
        }
        return .unknown
    }

    /// Repeats a read while it fails in transport, and returns its last result.
    private func answered(_ request: StoreRequest) -> Result<StoreAnswer, StoreError>? {
        var result: Result<StoreAnswer, StoreError>?
        for _ in 0..<Self.patience {
            result = store.perform([request]).first
            guard case .failure(let error)? = result, error.isTransient else { break }
            countDrop()
            store.retryPolicy.pause(before: 1)
        }
        return result
    }
}
