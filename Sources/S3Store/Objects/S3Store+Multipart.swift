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
