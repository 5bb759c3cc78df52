/// Before the phases: which checks of a body the backend carries out. Nothing found here refuses a
/// store; a backend that rejects a header, or does not answer to it, does not honor it.
extension ProbeRun {
    /// - Throws: only where the store does not answer at all.
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

    /// A store that is out of reach is given up here: each check would wait as long once more.
    private func expectAnswer() throws(ProbeFailure) {
        let step = ProbeStep(phase: .sequential, round: 1, key: freshKey("answer"))
        guard case .failure(let error)? = answered(.head(step.key)), error.isTransient else {
            return
        }
        throw failure(
            step, "\(Self.patience) consecutive reads got no answer; the last error: \(error)")
    }

    /// The object that a right checksum wrote; nil unless a wrong one was refused and created
    /// nothing.
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

    /// Two bodies, so that no constant passes for a hash.
    private func etagsAreMD5(_ found: Dialect) -> Bool {
        for _ in 1...2 {
            let key = freshKey("md5-etag")
            let body = freshBody("etag")
            // A bucket may take only what carries a checksum.
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

    /// How a write with a checksum was answered.
    private enum ClaimAnswer { case stored(ETag?), refused, unknown }

    /// A write whose answers may fail in transport, repeated until it has one.
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

    /// A read, repeated while it fails in transport; its last result.
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
