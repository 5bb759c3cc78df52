package import Bytes
package import Posix

/// An error of a store. Its text contains what was tried, on what, what happened and, if there is
/// one, the remedy. It never contains a secret.
package enum StoreError: Error, Sendable, CustomStringConvertible {
    /// No complete answer: the connection was refused or interrupted, or timed out.
    case unreachable(Attempt, cause: String)
    /// 429, 500, 502, 503, 504.
    case unavailable(Attempt, Answer)
    /// 401, 403.
    case denied(Attempt, Answer)
    /// Any other answer that the request does not expect.
    case rejected(Attempt, Answer)
    /// The backend violated a required guarantee. A write with this error may have been applied.
    case nonConforming(Attempt, reason: String)
    /// An object that must exist does not.
    case missing(ObjectKey)
    /// The bytes of an object do not match its key.
    case corrupt(ObjectKey, reason: String)
    /// The body to write is not the one that was hashed before: the file changed since, or the disk
    /// or the memory failed. No complete copy of it was sent.
    case sourceChanged(Attempt, reason: String)
    /// The stored bytes are not those that were sent: they changed on their way.
    case altered(ObjectKey, reason: String)
    /// Writes are refused because the store's server software changed and fails the conformance
    /// probe. Nothing was sent.
    case notAdmitted(reason: String)
    /// The object is larger than the reader's limit.
    case tooLarge(ObjectKey, limit: Int)
    /// A pointer write that may or may not have been applied.
    case undetermined(ObjectKey, reason: String)
    /// The disk of this machine, or of a file store, failed. A write with this error changed
    /// nothing.
    case local(Attempt, SystemError)
    /// The store cannot work with its configuration.
    case misconfigured(String)

    /// The request that was tried.
    package struct Attempt: Sendable, CustomStringConvertible {
        package let verb: Verb
        package let key: String
        /// Whether the body may have been sent more than once: an HTTP library resends it if a
        /// reused connection turns out to be dead. An answer then says nothing about the earlier
        /// copy.
        package var wasResent = false

        package enum Verb: String, Sendable {
            case get = "read"
            case head = "look up"
            case put = "write"
            case delete = "delete"
            case list = "list"
        }

        package init(_ verb: Verb, _ key: String) {
            self.verb = verb
            self.key = key
        }

        package init(_ request: StoreRequest) {
            switch request {
            case .get(let key, _): self.init(.get, key.path)
            case .head(let key): self.init(.head, key.path)
            case .put(_, let key, _): self.init(.put, key.path)
            case .delete(let key): self.init(.delete, key.path)
            }
        }

        package var description: String { "\(verb.rawValue) '\(key)'" }
    }

    /// An error answer: its status and S3's code, such as `SlowDown`.
    package struct Answer: Sendable, CustomStringConvertible {
        package let status: Int
        package let code: String

        package init(status: Int, code: String) {
            self.status = status
            self.code = code
        }

        package var description: String { code.isEmpty ? "\(status)" : "\(status) \(code)" }
    }

    /// Whether the same request can succeed a moment later.
    package var isTransient: Bool {
        switch self {
        case .unreachable, .unavailable: true
        default: false
        }
    }

    /// Whether a PUT with this error may have been applied, or may still be applied. Other errors
    /// mean that nothing was written, except perhaps by an earlier copy of the request.
    package var leavesWriteUnknown: Bool {
        switch self {
        case .unreachable, .unavailable, .undetermined, .nonConforming, .altered: true
        case .denied(let attempt, _), .rejected(let attempt, _), .local(let attempt, _):
            attempt.wasResent
        case .missing, .corrupt, .tooLarge, .misconfigured, .sourceChanged, .notAdmitted: false
        }
    }

    package var description: String {
        switch self {
        case .unreachable(let attempt, let cause):
            "Could not \(attempt): no answer (\(cause))."
        case .unavailable(let attempt, let answer):
            "Could not \(attempt): the store answered \(answer)."
        case .denied(let attempt, let answer):
            "Could not \(attempt): the store answered \(answer). "
                + "\(Self.remedy(for: attempt, answer))"
        case .rejected(let attempt, let answer):
            "Could not \(attempt): the store answered \(answer)."
        case .nonConforming(let attempt, let reason):
            "The store does not conform to S3: \(attempt): \(reason)."
        case .missing(let key):
            "'\(key)' is missing from the store."
        case .corrupt(let key, let reason):
            "'\(key)' is corrupt: \(reason)."
        case .sourceChanged(let attempt, let reason):
            "Could not \(attempt): \(reason). Check this machine's disk and memory, then try again."
        case .altered(let key, let reason):
            "'\(key)' was altered on its way to the store: \(reason)."
        case .notAdmitted(let reason):
            "Writes to the store are disabled: \(reason)"
        case .tooLarge(let key, let limit):
            "'\(key)' is larger than the limit of \(limit) bytes."
        case .undetermined(let key, let reason):
            "The outcome of writing '\(key)' is unknown: \(reason). Fetch to see whether it was "
                + "applied."
        case .local(let attempt, let error):
            "Could not \(attempt): \(error)."
        case .misconfigured(let sentence):
            sentence
        }
    }

    /// Creates the error for a body that no longer has its digest.
    package static func sourceChanged(
        of body: ObjectBody, at key: ObjectKey, found: Digest?
    ) -> StoreError {
        let source =
            switch body {
            case .bytes: "the bytes in memory"
            case .file(let path, _, _): "the bytes read from '\(path)'"
            }
        let now = found.map { "their SHA-256 is \($0), not \(body.digest)" } ?? "they changed"
        return .sourceChanged(
            .init(.put, key.path), reason: "\(source) differ from the bytes hashed before; \(now)")
    }

    private static func remedy(for attempt: Attempt, _ answer: Answer) -> String {
        switch answer.code {
        case "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
            return "The credentials have expired. Renew them."
        case "InvalidAccessKeyId", "SignatureDoesNotMatch":
            return "Check the credentials: access key, secret key and region."
        case "RequestTimeTooSkewed":
            return "Check this machine's clock."
        default: break
        }
        return switch attempt.verb {
        case .get, .head: "Allow s3:GetObject (and s3:ListBucket, to tell 404 from 403) on it."
        case .put: "Allow s3:PutObject on it."
        case .delete: "Allow s3:DeleteObject on it."
        case .list: "Allow s3:ListBucket on the bucket."
        }
    }
}
