import Bytes
import ObjectStore

extension S3Store {
    /// Translates a request to the store that takes a single exchange.
    func httpRequest(_ request: StoreRequest) -> HTTPRequest {
        switch request {
        case .get(let object, let destination):
            var get = self.request(.get, object, .get)
            if case .memory(let limit) = destination { get.memoryLimit = limit }
            return get
        case .head(let object):
            var head = self.request(.head, object, .head)
            head.headers = [("x-amz-checksum-mode", "ENABLED")]
            return head
        case .put(let body, let object, let condition):
            var put = self.request(.put, object, .put)
            put.headers = conditionHeaders(condition)
            put.attach(HTTPBody(body), putChecks)
            return put
        case .delete(let object):
            return self.request(.delete, object, .delete)
        }
    }

    /// Creates a request about an object, which its caller completes.
    func request(
        _ verb: StoreError.Attempt.Verb, _ object: ObjectKey, _ method: HTTPRequest.Method
    ) -> HTTPRequest {
        HTTPRequest(
            attempt: StoreError.Attempt(verb, object.path), object: object, method: method,
            key: target.prefix + object.path)
    }

    func conditionHeaders(_ condition: PutCondition) -> [(name: String, value: String)] {
        switch condition {
        case .always: []
        case .ifAbsent: [("if-none-match", "*")]
        case .ifMatch(let etag):
            [("if-match", dialect.contains(.bareETags) ? etag.bare : etag.text)]
        }
    }
}

extension S3Location {
    /// Adds the URL, the headers and the signature to a request.
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
            // The last two remove headers that libcurl would add itself.
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
    /// The digest's 32 bytes.
    var raw: [UInt8] { Hex.decode(bytes) ?? [] }
}
