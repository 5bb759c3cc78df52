import Bytes
package import ObjectStore
import Posix

/// The means by which the backend checks a body that it is sent.
struct BodyChecks: Hashable, Sendable {
    /// `x-amz-checksum-sha256` is sent.
    var sendsSHA256: Bool
    var md5: MD5Use

    /// The use of a body's MD5.
    enum MD5Use: Sendable {
        case none
        /// It is sent as `Content-MD5`, and compared with the answer's ETag if that is an MD5.
        case sent
        /// It is computed while the body is sent, and compared with the answer's ETag.
        case compared
    }
}

extension S3Store {
    /// Whether the backend detects that a body changed on its way.
    package var checksBodies: Bool {
        [putChecks, partChecks].allSatisfy { checks in
            (checks.sendsSHA256 && dialect.contains(.checksSHA256)) || checks.md5 != .none
        }
    }

    /// The strongest check that the backend supports, and no other: a header with the hash, so that
    /// nothing damaged is stored; else the ETag, so that damage is at least noticed.
    var putChecks: BodyChecks {
        checks(sendingSHA256: target.checksums.map { $0 == .sha256 } ?? honorsSHA256)
    }

    /// The check of a part. Its SHA-256 is sent only if uploads are known to accept checksums: on
    /// Amazon, if the backend supports nothing else, or if the location requires it.
    var partChecks: BodyChecks {
        let isSafe = target.isAmazon || !dialect.contains(.checksMD5)
        return checks(
            sendingSHA256: target.checksums.map { $0 == .sha256 } ?? (honorsSHA256 && isSafe))
    }

    private var honorsSHA256: Bool { dialect.contains(.checksSHA256) }

    private func checks(sendingSHA256 sendsSHA256: Bool) -> BodyChecks {
        let isCheckedByHash = sendsSHA256 && honorsSHA256
        let md5: BodyChecks.MD5Use =
            if isCheckedByHash {
                .none
            } else if dialect.contains(.checksMD5), target.checksums != S3Location.Checksums.none {
                .sent
            } else if dialect.contains(.etagIsMD5) {
                .compared
            } else {
                .none
            }
        return BodyChecks(sendsSHA256: sendsSHA256, md5: md5)
    }

    /// Compares the MD5 of the sent body with the ETag, if that is an MD5. An ETag of another form,
    /// for example after the bucket was encrypted, proves nothing.
    func compare(
        _ etag: ETag, with answer: HTTPAnswer, of object: ObjectKey
    ) throws(StoreError) {
        guard dialect.contains(.etagIsMD5), let sent = answer.sentMD5, let arrived = etag.md5,
            arrived != sent
        else { return }
        throw .altered(
            object, reason: "the store's ETag \(etag) is not the MD5 of the bytes sent")
    }

    package func put(
        _ bytes: [UInt8], at key: ObjectKey, claiming claim: BodyClaim
    ) -> Result<StoreAnswer, StoreError>? {
        let claimed = claim.isTrue ? bytes : bytes + [0]
        let body = ObjectBody.bytes(bytes)
        var put = request(.put, key, .put)
        put.body = HTTPBody(body)
        switch claim.kind {
        case .sha256:
            put.headers = [
                ("x-amz-checksum-sha256", Base64.encode(Digest(of: claimed).raw))
            ]
        case .md5:
            guard let md5 = MD5.hash(of: claimed) else { return nil }
            put.headers = [("content-md5", Base64.encode(md5))]
        }
        return Result { () throws(StoreError) in
            try classification.answer(to: .put(body, at: key, .always), exchange(put))
        }
    }
}

extension HTTPRequest {
    /// Sets the body, and the headers that make the backend check it.
    mutating func attach(_ body: HTTPBody, _ checks: BodyChecks) {
        self.body = body
        md5 = checks.md5
        if checks.sendsSHA256 {
            headers.append(("x-amz-checksum-sha256", Base64.encode(body.digest.raw)))
        }
    }
}

extension HTTPBody {
    /// Reads the bytes and computes their MD5; nil if libcrypto does not support it.
    func readMD5() throws(SystemError) -> [UInt8]? {
        guard var hash = MD5() else { return nil }
        let reader = try BodyReader(range, of: whole)
        var chunk = [UInt8](repeating: 0, count: Int(min(max(size, 1), 1 << 20)))
        while true {
            let count = try chunk.withMutableBytes { (buffer) throws(SystemError) in
                try reader.read(into: buffer)
            }
            if count == 0 { return hash.finish() }
            chunk.withUnsafeBytes { buffer in
                hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
        }
    }
}
