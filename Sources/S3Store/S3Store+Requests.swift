import ObjectStore

extension S3Store {
    /// A request in S3's words.
    func httpRequest(_ request: StoreRequest) -> HTTPRequest {
        let attempt = StoreError.Attempt(request)
        let key = target.prefix + request.key.path
        switch request {
        case .get(let object, let destination):
            return HTTPRequest(
                attempt: attempt, object: object, method: .get, key: key, destination: destination)
        case .head(let object):
            return HTTPRequest(
                attempt: attempt, object: object, method: .head, key: key,
                headers: [("x-amz-checksum-mode", "ENABLED")])
        case .put(let body, let object, let condition):
            return HTTPRequest(
                attempt: attempt, object: object, method: .put, key: key,
                headers: conditionHeaders(condition) + checksumHeaders(body.digest), body: body)
        case .delete(let object):
            return HTTPRequest(attempt: attempt, object: object, method: .delete, key: key)
        }
    }

    private func conditionHeaders(_ condition: PutCondition) -> [(name: String, value: String)] {
        switch condition {
        case .always: []
        case .ifAbsent: [("if-none-match", "*")]
        case .ifMatch(let etag):
            [("if-match", etagForm == .bare ? etag.bare : etag.text)]
        }
    }

    private func checksumHeaders(_ digest: Digest) -> [(name: String, value: String)] {
        switch target.checksums {
        case .none: []
        case .sha256: [("x-amz-checksum-sha256", Base64.encode(digest.raw))]
        }
    }
}

extension S3Location {
    /// Completes a request with its URL, its headers and its signature.
    func sign(
        _ request: HTTPRequest, with credentials: Credentials, at timestamp: Timestamp
    ) -> SignedRequest {
        let host = addressing == .virtualHost ? endpoint.hosting(bucket) : endpoint
        let path = "/" + PercentCoding.encodePath(pathParts(request.key))
        let digest = request.body?.digest ?? Self.emptyBody
        var headers = request.headers
        headers += [
            ("host", host.authority), ("x-amz-content-sha256", digest.hex),
            ("x-amz-date", timestamp.text),
        ]
        if let token = credentials.sessionToken {
            headers.append(("x-amz-security-token", token.revealed))
        }

        let signature = Signature(credentials: credentials, region: region, timestamp: timestamp)
        let authorization = signature.authorization(
            for: SignedParts(
                method: request.method.rawValue, path: path, query: request.query,
                headers: headers, bodyDigest: digest.hex))
        headers.append(("authorization", authorization))

        let query = Signature.canonicalQuery(request.query)
        return SignedRequest(
            url: "\(host)\(path)" + (query.isEmpty ? "" : "?" + query),
            // The last two take away what libcurl would add by itself.
            headers: headers.map { "\($0.name): \($0.value)" } + ["expect:", "accept:"])
    }

    private static let emptyBody = Digest(of: [])

    private func pathParts(_ key: String) -> String {
        switch addressing {
        case .path: key.isEmpty ? bucket : "\(bucket)/\(key)"
        case .virtualHost: key
        }
    }
}

extension Digest {
    /// The 32 bytes.
    var raw: [UInt8] {
        let digits = bytes.map { $0 < 0x3A ? $0 - 0x30 : $0 - 0x57 }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}
