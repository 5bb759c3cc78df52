/// Text that is never printed: not by interpolation, `print`, `dump` or a debugger.
struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    /// The text itself; for signing.
    let revealed: String

    init(_ text: String) { revealed = text }

    var description: String { "(secret)" }
    var debugDescription: String { description }
    var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

/// What requests are signed with.
struct Credentials: Hashable, Sendable {
    let accessKey: String
    let secretKey: Secret
    /// Of temporary credentials.
    let sessionToken: Secret?

    init(accessKey: String, secretKey: Secret, sessionToken: Secret?) {
        self.accessKey = accessKey
        self.secretKey = secretKey
        self.sessionToken = sessionToken
    }
}
