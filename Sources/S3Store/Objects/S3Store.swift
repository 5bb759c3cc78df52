package import ObjectStore

/// A store in a bucket of Amazon S3, or of a service with the same protocol.
package struct S3Store: ObjectStore {
    package let retryPolicy: RetryPolicy
    let target: S3Location
    /// The features and checks of the backend. Amazon's dialect is known before any probe.
    package let dialect: Dialect
    private let credentials: CredentialChain
    private let pool: ChannelPool
    private let watch: ServerWatch

    /// Opens a store; sends nothing yet.
    ///
    /// - Parameters:
    ///   - location: `s3://bucket/prefix?…`, see ``S3Location``.
    ///   - environment: the variables of the process, such as AWS_REGION and AWS_PROFILE.
    /// - Throws: ``StoreError/misconfigured(_:)``, with what to set; also if there are no
    ///   credentials.
    package init(
        location: String, environment: [String: String], retryPolicy: RetryPolicy = RetryPolicy()
    ) throws(StoreError) {
        try self.init(
            at: S3Location(location, environment: environment), environment: environment,
            retryPolicy: retryPolicy)
    }

    init(
        at location: S3Location, environment: [String: String], retryPolicy: RetryPolicy
    ) throws(StoreError) {
        target = location
        self.retryPolicy = retryPolicy
        dialect = target.isAmazon ? [.checksSHA256, .keepsSHA256] : []
        credentials = CredentialChain(profile: target.profile, environment: environment)
        pool = ChannelPool(TransferOptions(target))
        watch = ServerWatch()
        _ = try credentials.credentials()
    }

    private init(_ store: S3Store, speaking dialect: Dialect, _ watch: ServerWatch) {
        retryPolicy = store.retryPolicy
        target = store.target
        self.dialect = dialect
        credentials = store.credentials
        pool = store.pool
        self.watch = watch
    }

    /// The location with its endpoint: a bucket of the same name elsewhere is another store, which
    /// needs its own admission.
    package var location: String { "\(target.description)?endpoint=\(target.endpoint)" }

    /// Whether requests and objects leave this machine unencrypted. The signature covers a body's
    /// hash, but not every backend compares it.
    package var isExposed: Bool { target.endpoint.isExposed }

    package var servers: ServerNames { watch.names }

    package func speaking(_ dialect: Dialect) -> (any ObjectStore)? {
        S3Store(self, speaking: dialect, watch)
    }

    package func watchingAnew() -> any ObjectStore {
        S3Store(self, speaking: dialect, ServerWatch())
    }

    /// Performs requests. A large PUT is sent as a multipart upload, and a GET into a file requests
    /// ranges. In both, a part that failed temporarily is repeated alone.
    package func perform(_ requests: [StoreRequest]) -> [Result<StoreAnswer, StoreError>] {
        let transfers = requests.map(transfer)
        carryOut(transfers)
        return transfers.map { transfer in
            Result { () throws(StoreError) in try transfer.conclude() }
        }
    }

    private func transfer(for request: StoreRequest) -> any StoreTransfer {
        switch request {
        case .get(let object, .file(let path)):
            return RangedDownload(of: object, into: path, from: self)
        case .put(let body, let object, let condition):
            guard body.size > target.partSizes.threshold,
                let upload = MultipartUpload(of: body, at: object, condition, to: self)
            else { break }
            return upload
        default: break
        }
        return PlainTransfer(request, at: self)
    }

    var classification: Classification {
        Classification(bucket: target.bucket, region: target.region)
    }

    /// Performs a single exchange. An answer of any status is returned.
    func exchange(_ request: HTTPRequest) throws(StoreError) -> HTTPAnswer {
        let exchange = Exchange(request)
        carryOut([exchange])
        return try exchange.result()
    }

    /// Performs transfers in parallel. All of them have ended when it returns.
    func carryOut(_ transfers: [any Transfer]) {
        if transfers.isEmpty { return }
        pool.withChannel { channel in
            channel.carryOut(transfers, noting: watch) { (request) throws(StoreError) in
                target.sign(request, with: try credentials.credentials(), at: .now)
            }
        }
    }
}
