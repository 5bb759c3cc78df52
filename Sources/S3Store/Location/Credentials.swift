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
