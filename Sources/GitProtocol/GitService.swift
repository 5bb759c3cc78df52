/// A service of the smart HTTP protocol. gitprotocol-http(5).
package enum GitService: String, Sendable {
    case uploadPack = "upload-pack"
    case receivePack = "receive-pack"
}

/// A version of git's wire protocol. protocol(5).
package enum ProtocolVersion: Int, Sendable {
    case v0 = 0
    case v1 = 1
    case v2 = 2

    /// The highest version in a `Git-Protocol` header, which is the one that git chooses.
    package init(header: String) {
        let keys = header.split(separator: ":")
        if keys.contains("version=2") {
            self = .v2
        } else if keys.contains("version=1") {
            self = .v1
        } else {
            self = .v0
        }
    }

    /// The header that requests this version.
    package var header: String { self == .v0 ? "" : "version=\(rawValue)" }
}
