import Bytes
import ObjectStore

/// The meaning of answers: the only place that knows S3's statuses and codes, and their quirks.
struct Classification {
    let bucket: String
    let region: String

    /// Returns the answer to a request as a value, if it is one that the request can have.
    func answer(
        to request: StoreRequest, _ answer: HTTPAnswer
    ) throws(StoreError) -> StoreAnswer {
        var attempt = StoreError.Attempt(request)
        attempt.wasResent = answer.wasResent
        switch request {
        case .get:
            // No other 2xx has the whole object; a 206, for example, has a part.
            if answer.status == 200 { return .found(object(answer, size: answer.received.size)) }
            if answer.error.code == "NoSuchKey", answer.status == 404 { return .absent }
        case .head:
            if isSuccess(answer) { return .found(try looked(answer, attempt)) }
            // Without a body, a missing object cannot be distinguished from a missing bucket.
            if answer.status == 404 { return .absent }
        case .put(_, _, let condition):
            if isSuccess(answer) { return .stored(answer.headers["etag"].flatMap { ETag($0) }) }
            if let refusal = refusal(of: condition, answer) { return .notStored(refusal) }
        case .delete:
            if isSuccess(answer) { return .deleted }
            if answer.error.code == "NoSuchKey", answer.status == 404 { return .absent }
        }
        throw error(attempt, answer)
    }

    /// Returns the error that an answer represents.
    func error(_ attempt: StoreError.Attempt, _ answer: HTTPAnswer) -> StoreError {
        let code = answer.error.code
        // An error in the configuration says nothing about an earlier copy of the request.
        let isOnlyCopy = !attempt.wasResent
        if isOnlyCopy, code == "NoSuchBucket" {
            return .misconfigured(
                "Could not \(attempt): bucket '\(bucket)' does not exist. Create it, or correct "
                    + "the store's URL.")
        }
        if isOnlyCopy, let hint = redirection(answer) {
            return .misconfigured("Could not \(attempt): \(hint)")
        }
        // 501 and 505 refuse the request. Any other 5xx can follow a request that was carried out.
        let isServers = answer.status >= 500 && answer.status != 501 && answer.status != 505
        if isServers || [408, 429].contains(answer.status) || Self.passing.contains(code) {
            return .unavailable(attempt, answer.asError)
        }
        if [401, 403].contains(answer.status) || Self.credential.contains(code) {
            return .denied(attempt, answer.asError)
        }
        return .rejected(attempt, answer.asError)
    }

    func isSuccess(_ answer: HTTPAnswer) -> Bool { (200...299).contains(answer.status) }

    /// Codes that ask the client to retry later, whatever the status. S3 "List of error codes".
    private static let passing: Set<String> = [
        "InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown",
        "ThrottlingException", "TooManyRequests",
    ]

    /// Codes about credentials that accompany a 400.
    private static let credential: Set<String> = [
        "ExpiredToken", "InvalidToken", "TokenRefreshRequired",
    ]

    private func refusal(
        of condition: PutCondition, _ answer: HTTPAnswer
    ) -> StoreAnswer.Refusal? {
        if condition == .always { return nil }
        switch answer.status {
        case 412: return .conditionFailed
        case 409: return .conflict
        case 404:
            guard case .ifMatch = condition, answer.error.code == "NoSuchKey" else { return nil }
            return .absent
        default: return nil
        }
    }

    /// What to set if the bucket turns out to be elsewhere.
    private func redirection(_ answer: HTTPAnswer) -> String? {
        let isMoved = [301, 302, 303, 307, 308].contains(answer.status)
        let isWrongRegion = ["AuthorizationHeaderMalformed", "IllegalLocationConstraintException"]
            .contains(answer.error.code)
        guard isMoved || isWrongRegion else { return nil }
        let actual = answer.headers["x-amz-bucket-region"] ?? answer.error.region
        if let actual, actual != region {
            return "the bucket '\(bucket)' is in region '\(actual)', not '\(region)': add "
                + "region=\(actual) to the store's URL, or set AWS_REGION."
        }
        if isWrongRegion { return nil }
        return "the endpoint answered \(answer.asError), a redirection: correct endpoint=…, "
            + "region=… (now '\(region)') or addressing=… in the store's URL."
    }

    private func looked(
        _ answer: HTTPAnswer, _ attempt: StoreError.Attempt
    ) throws(StoreError) -> StoredObject {
        guard let size = answer.headers["content-length"].flatMap(Int64.init), size >= 0 else {
            throw .nonConforming(attempt, reason: "a response without Content-Length")
        }
        return object(answer, size: size)
    }

    private func object(_ answer: HTTPAnswer, size: Int64) -> StoredObject {
        StoredObject(
            bytes: answer.received.bytes, size: size, digest: answer.received.digest,
            etag: answer.headers["etag"].flatMap { ETag($0) },
            // The checksum of a multipart upload, `…-3`, is not a digest of the object, nor valid
            // base64.
            storedChecksum: answer.headers["x-amz-checksum-sha256"].flatMap(Base64.decode)
                .flatMap { Digest(raw: $0) })
    }
}
