package import ObjectStore

/// Where a store is and how to reach it: `s3://bucket/prefix?endpoint=…`. Settings that the
/// location lacks come from the environment and the profile, as with the AWS tools.
package struct S3Location: Sendable {
    /// The bucket's name.
    package let bucket: String
    /// The prefix of every key: empty, or ends in `/`.
    package let prefix: String
    let endpoint: Endpoint
    let region: String
    let addressing: Addressing
    let profile: ProfileChoice
    /// A file of CA certificates that replaces the system's.
    let authorities: String?
    let connectTimeout: Duration
    /// The time after which a transfer without progress is abandoned.
    let stallTimeout: Duration
    /// nil if the probe decides which checksums are sent.
    let checksums: Checksums?
    /// Whether the endpoint is Amazon's, because no other one was given.
    let isAmazon: Bool
    var partSizes: PartSizes

    /// The part of a URL that contains the bucket's name.
    enum Addressing: String, CaseIterable, Sendable {
        case path
        case virtualHost = "virtual"
    }

    /// The profile of the shared files whose credentials and settings are used.
    enum ProfileChoice: Hashable, Sendable {
        /// Named in the location; it takes precedence over keys in the environment.
        case required(String)
        /// AWS_PROFILE or `default`.
        case fallback(String)

        var name: String {
            switch self {
            case .required(let name), .fallback(let name): name
            }
        }
    }

    /// The checksum headers of a PUT, if the location overrides the result of the probe.
    enum Checksums: String, CaseIterable, Sendable {
        /// The body's SHA-256, which the backend checks and keeps.
        case sha256
        case none
    }

    /// `s3://bucket/prefix`.
    package var description: String {
        prefix.isEmpty ? "s3://\(bucket)" : "s3://\(bucket)/\(prefix.dropLast())"
    }

    /// Parses a location.
    ///
    /// - Parameter environment: the variables of the process.
    package init(_ text: String, environment: [String: String]) throws(StoreError) {
        let parts = try LocationText(text)
        let items = parts.items
        bucket = parts.bucket
        prefix = parts.prefix
        authorities = items[.authorities] ?? environment.setting("AWS_CA_BUNDLE")
        connectTimeout = try items.seconds(.connectTimeout) ?? .seconds(5)
        stallTimeout = try items.seconds(.stallTimeout) ?? .seconds(30)

        profile =
            items[.profile].map(ProfileChoice.required)
            ?? .fallback(environment.setting("AWS_PROFILE") ?? "default")
        let settings = try SharedFiles(environment: environment).settings(of: profile)

        let given = try Self.endpoint(items, environment, settings)
        addressing = try Self.addressing(items, bucket: bucket, endpoint: given)
        checksums = try items.choice(.checksum)
        isAmazon = given == nil
        partSizes = PartSizes(
            threshold: try items.bytes(.multipartThreshold, in: PartSizes.allowed)
                ?? PartSizes.standard.threshold,
            part: try items.bytes(.partSize, in: PartSizes.allowed) ?? PartSizes.standard.part)
        region = try Self.region(items, environment, settings, endpoint: given)
        endpoint = given ?? .aws(region: region)
        if addressing == .virtualHost, endpoint.isNumeric {
            throw .misconfigured(
                "addressing=virtual needs an endpoint with a host name, not an address: "
                    + "'\(endpoint)'.")
        }
    }

    private static func endpoint(
        _ items: LocationItems, _ environment: [String: String], _ settings: [String: String]
    ) throws(StoreError) -> Endpoint? {
        if let text = items[.endpoint] {
            return try Endpoint(text, source: "endpoint in the store's URL")
        }
        for variable in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"] {
            if let text = environment.setting(variable) {
                return try Endpoint(text, source: variable)
            }
        }
        guard let text = settings["endpoint_url"] else { return nil }
        return try Endpoint(text, source: "endpoint_url in the AWS configuration file")
    }

    private static func region(
        _ items: LocationItems, _ environment: [String: String], _ settings: [String: String],
        endpoint: Endpoint?
    ) throws(StoreError) -> String {
        let found =
            items[.region] ?? environment.setting("AWS_REGION")
            ?? environment.setting("AWS_DEFAULT_REGION") ?? settings["region"]
        // Other backends ignore the region, or accept this one as the default.
        guard let region = found ?? endpoint.map({ _ in "us-east-1" }) else {
            throw .misconfigured(
                "No region specified. Add region=… to the store's URL or set AWS_REGION. For a "
                    + "provider other than AWS, also add endpoint=… or set AWS_ENDPOINT_URL_S3.")
        }
        guard region.utf8.allSatisfy({ isLowerAlphanumeric($0) || $0 == UInt8(ascii: "-") }) else {
            throw .misconfigured("Invalid region: expected lower-case letters, digits and dashes.")
        }
        return region
    }

    private static func addressing(
        _ items: LocationItems, bucket: String, endpoint: Endpoint?
    ) throws(StoreError) -> Addressing {
        if let chosen: Addressing = try items.choice(.addressing) { return chosen }
        // A certificate for *.s3.region.amazonaws.com does not cover a name with further dots.
        return endpoint == nil && !bucket.utf8.contains(UInt8(ascii: ".")) ? .virtualHost : .path
    }
}

extension Dictionary where Key == String, Value == String {
    /// The value of a variable; nil if it is unset or empty.
    func setting(_ name: String) -> String? {
        self[name].flatMap { $0.isEmpty ? nil : $0 }
    }
}

func isLowerAlphanumeric(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"): true
    default: false
    }
}
