package import ObjectStore

/// A store in a bucket of Amazon S3 or of a service that speaks its protocol.
package struct S3Store: ObjectStore {
    package let retryPolicy: RetryPolicy
    let target: S3Location
    let etagForm: ETagForm
    private let credentials: CredentialChain
    private let pool: ChannelPool

    /// How an ETag is written in If-Match.
    enum ETagForm: Sendable { case asGiven, bare }

    /// Opens a store; sends nothing yet.
    ///
    /// - Parameters:
    ///   - location: `s3://bucket/prefix?…`, see ``S3Location``.
    ///   - environment: the process's: AWS_REGION, AWS_PROFILE and their like.
    /// - Throws: ``StoreError/misconfigured(_:)``, with what to set; also where there are no
    ///   credentials.
    package init(
        location: String, environment: [String: String], retryPolicy: RetryPolicy = RetryPolicy()
    ) throws(StoreError) {
        target = try S3Location(location, environment: environment)
        self.retryPolicy = retryPolicy
        etagForm = .asGiven
        credentials = CredentialChain(profile: target.profile, environment: environment)
        pool = ChannelPool(TransferOptions(target))
        _ = try credentials.credentials()
    }

    private init(_ store: S3Store, etagForm: ETagForm) {
        retryPolicy = store.retryPolicy
        target = store.target
        self.etagForm = etagForm
        credentials = store.credentials
        pool = store.pool
    }

    /// With the endpoint: a bucket of the same name elsewhere is another store, to be admitted by
    /// itself.
    package var location: String { "\(target.description)?endpoint=\(target.endpoint)" }

    package func sendingBareETags() -> (any ObjectStore)? {
        S3Store(self, etagForm: .bare)
    }

    package func perform(_ requests: [StoreRequest]) -> [Result<StoreAnswer, StoreError>] {
        zip(requests, send(requests.map(httpRequest))).map { request, result in
            Result { () throws(StoreError) in
                try classification.answer(to: request, result.get())
            }
        }
    }

    var classification: Classification {
        Classification(bucket: target.bucket, region: target.region)
    }

    /// Sends requests, in parallel, once each.
    func send(_ requests: [HTTPRequest]) -> [Result<HTTPAnswer, StoreError>] {
        let exchanges = requests.map(Exchange.init)
        if exchanges.isEmpty { return [] }
        pool.withChannel { channel in
            channel.carryOut(exchanges) { (request) throws(StoreError) in
                target.sign(request, with: try credentials.credentials(), at: .now)
            }
        }
        return exchanges.map { exchange in Result { () throws(StoreError) in try exchange.result() }
        }
    }
}
