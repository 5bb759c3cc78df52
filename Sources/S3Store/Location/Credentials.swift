import ObjectStore

/// Text that interpolation, `print`, `dump` and debuggers never show.
struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    /// The text itself, for signing.
    let revealed: String

    init(_ text: String) { revealed = text }

    var description: String { "(secret)" }
    var debugDescription: String { description }
    var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

/// The keys that sign requests.
struct Credentials: Hashable, Sendable {
    let accessKey: String
    let secretKey: Secret
    /// The session token of temporary credentials.
    let sessionToken: Secret?

    init(accessKey: String, secretKey: Secret, sessionToken: Secret?) {
        self.accessKey = accessKey
        self.secretKey = secretKey
        self.sessionToken = sessionToken
    }
}

/// A place in which credentials may be found.
protocol CredentialSource: Sendable {
    /// Reads the current credentials; nil if this source has none, so that the next one counts.
    ///
    /// - Throws: ``StoreError/misconfigured(_:)`` if the source has only a part of them.
    func credentials() throws(StoreError) -> Credentials?

    /// What to set so that this source has credentials, such as "AWS_ACCESS_KEY_ID and …".
    var remedy: String { get }
}

/// The sources in their order; the first that has credentials wins. They are read for every
/// request, so that rotated credentials are picked up.
struct CredentialChain: Sendable {
    let sources: [any CredentialSource]

    /// The order of the AWS tools: an explicitly named profile, else the environment, else the
    /// default profile.
    init(profile: S3Location.ProfileChoice, environment: [String: String]) {
        let file = ProfileCredentials(
            profile: profile, files: SharedFiles(environment: environment))
        sources =
            switch profile {
            case .required: [file]
            case .fallback: [EnvironmentCredentials(environment), file]
            }
    }

    func credentials() throws(StoreError) -> Credentials {
        for source in sources {
            if let found = try source.credentials() { return found }
        }
        let remedies = sources.map(\.remedy).joined(separator: ", or ")
        throw .misconfigured("No S3 credentials found. Set \(remedies).")
    }
}

/// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.
struct EnvironmentCredentials: CredentialSource {
    private let accessKey: String?
    private let secretKey: Secret?
    private let sessionToken: Secret?

    init(_ environment: [String: String]) {
        accessKey = environment.setting("AWS_ACCESS_KEY_ID")
        secretKey = environment.setting("AWS_SECRET_ACCESS_KEY").map(Secret.init)
        sessionToken = environment.setting("AWS_SESSION_TOKEN").map(Secret.init)
    }

    var remedy: String { "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" }

    func credentials() throws(StoreError) -> Credentials? {
        switch (accessKey, secretKey) {
        case (nil, nil): return nil
        case (nil, _):
            throw .misconfigured(
                "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not. Set both.")
        case (_, nil):
            throw .misconfigured(
                "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not. Set both.")
        case (let accessKey?, let secretKey?):
            return Credentials(
                accessKey: accessKey, secretKey: secretKey, sessionToken: sessionToken)
        }
    }
}

/// A profile in the shared files.
struct ProfileCredentials: CredentialSource {
    let profile: S3Location.ProfileChoice
    let files: SharedFiles

    var remedy: String { "aws_access_key_id and aws_secret_access_key in \(place)" }

    func credentials() throws(StoreError) -> Credentials? {
        for section in try files.credentialSections(of: profile) {
            let accessKey = section.setting("aws_access_key_id")
            let secretKey = section.setting("aws_secret_access_key")
            if accessKey == nil, secretKey == nil { continue }
            guard let accessKey, let secretKey else {
                throw .misconfigured(
                    "Both aws_access_key_id and aws_secret_access_key are needed in \(place).")
            }
            return Credentials(
                accessKey: accessKey, secretKey: Secret(secretKey),
                sessionToken: section.setting("aws_session_token").map(Secret.init))
        }
        return nil
    }

    private var place: String {
        "the profile '\(profile.name)' of \(files.credentialsPath ?? "~/.aws/credentials")"
    }
}
