import Bytes
import ObjectStore

// The requests of a multipart upload.
extension S3Store {
    /// S3 CreateMultipartUpload.
    func creation(of object: ObjectKey) -> HTTPRequest {
        var creation = request(.put, object, .post)
        creation.query = [("uploads", "")]
        if partChecks.sendsSHA256 {
            creation.headers = [("x-amz-checksum-algorithm", "SHA256")]
        }
        creation.body = HTTPBody(.bytes([]))
        creation.memoryLimit = 1 << 16
        return creation
    }

    /// The identifier in the answer to CreateMultipartUpload.
    func identifier(
        in answer: HTTPAnswer, of object: ObjectKey
    ) throws(StoreError) -> UploadIdentifier {
        let attempt = StoreError.Attempt(.put, object.path)
        guard classification.isSuccess(answer) else {
            throw classification.error(attempt, answer)
        }
        let leaf = xmlLeaves(of: answer.received.bytes)?
            .first { $0.path == "/InitiateMultipartUploadResult/UploadId" }
        guard let text = leaf?.text, !text.isEmpty else {
            throw .nonConforming(attempt, reason: "an upload was created without an identifier")
        }
        return UploadIdentifier(text: text)
    }

    /// S3 UploadPart.
    ///
    /// - Parameter part: counted from 0.
    func sending(
        _ piece: HTTPBody, _ part: Int, of object: ObjectKey, _ identifier: UploadIdentifier
    ) -> HTTPRequest {
        var sending = request(.put, object, .put)
        sending.query = [("partNumber", "\(part + 1)"), ("uploadId", identifier.text)]
        sending.attach(piece, partChecks)
        return sending
    }

    /// S3 CompleteMultipartUpload.
    func completion(
        of object: ObjectKey, _ parts: UploadParts, _ condition: PutCondition
    ) -> HTTPRequest {
        var completion = request(.put, object, .post)
        completion.query = [("uploadId", parts.identifier.text)]
        completion.headers = conditionHeaders(condition) + [("content-type", "application/xml")]
        completion.body = HTTPBody(.bytes(Array(document(parts).utf8)))
        completion.memoryLimit = 1 << 20
        return completion
    }

    private func document(_ parts: UploadParts) -> String {
        let lines = parts.parts.enumerated().map { number, part in
            let checksum =
                partChecks.sendsSHA256
                ? "<ChecksumSHA256>\(Base64.encode(part.digest.raw))</ChecksumSHA256>" : ""
            return "<Part><PartNumber>\(number + 1)</PartNumber><ETag>\(escaped(part.etag.text))"
                + "</ETag>\(checksum)</Part>"
        }
        return "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
            + lines.joined() + "</CompleteMultipartUpload>"
    }

    private func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;")
            .replacing(">", with: "&gt;")
    }

    /// S3 AbortMultipartUpload.
    func abortion(of object: ObjectKey, _ identifier: UploadIdentifier) -> HTTPRequest {
        var abortion = request(.put, object, .delete)
        abortion.query = [("uploadId", identifier.text)]
        return abortion
    }
}

/// The meaning of an answer to CompleteMultipartUpload.
enum CompletionAnswer {
    case done
    /// The upload may or may not have been completed.
    case doubtful(Doubt)
    /// The condition failed, or another writer was active. The error is for an upload without a
    /// condition.
    case refused(StoreAnswer.Refusal, StoreError)
    /// The backend does not support the condition.
    case notImplemented(StoreError)
    case failed(StoreError)
}

/// Why it is unknown whether an upload was completed.
enum Doubt {
    /// There was no complete answer: the backend may still be completing it.
    case unanswered(StoreError)
    /// The answer is an error that can follow a completion.
    case answered(StoreError)
    /// The upload does not exist: a request whose answer was lost completed it, or it was removed.
    case gone(StoreError)
}

extension Classification {
    /// Interprets the answer to CompleteMultipartUpload. S3 sends a 200 before it has finished, so
    /// only the body has the result.
    func completion(_ answer: HTTPAnswer, of object: ObjectKey) -> CompletionAnswer {
        let attempt = StoreError.Attempt(.put, object.path)
        var answer = answer
        if isSuccess(answer) {
            let leaves = xmlLeaves(of: answer.received.bytes) ?? []
            answer.error = ErrorBody(answer.received.bytes)
            if leaves.contains(where: { $0.path.hasPrefix("/CompleteMultipartUploadResult/") }) {
                return .done
            }
            answer = HTTPAnswer(status: Self.status(of: answer.error.code), answer.error)
        }
        let error = error(attempt, answer)
        switch answer.status {
        case 412: return .refused(.conditionFailed, error)
        case 409 where answer.error.code != "OperationAborted": return .refused(.conflict, error)
        case 404 where answer.error.code == "NoSuchUpload":
            // A caller that repeats the PUT begins a new upload.
            return .doubtful(.gone(.unavailable(attempt, answer.asError)))
        case 501: return .notImplemented(error)
        default: return error.isTransient ? .doubtful(.answered(error)) : .failed(error)
        }
    }

    /// The status that a code would have had in the head. An unknown code, or a body that is not
    /// even an error, can follow a completion.
    private static func status(of code: String) -> Int {
        switch code {
        case "PreconditionFailed": 412
        case "ConditionalRequestConflict": 409
        case "NoSuchUpload": 404
        case "NotImplemented": 501
        case "InvalidPart", "InvalidPartOrder", "EntityTooSmall": 400
        default: 500
        }
    }
}

extension HTTPAnswer {
    /// An answer with only this status and code.
    fileprivate init(status: Int, _ error: ErrorBody) {
        self.init(status: status, headers: HTTPHeaders())
        self.error = error
    }
}
