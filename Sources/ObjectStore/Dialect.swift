/// The features of a backend beyond the required guarantees: what it supports, checks and keeps.
/// The conformance probe detects them, the admission record stores them, and the admitted store
/// uses them.
package struct Dialect: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// If-Match has the ETag without its quotes, because the backend refuses its own tag with them.
    package static let bareETags = Dialect(rawValue: 1)
    /// The backend refuses a PUT whose body does not match its `x-amz-checksum-sha256`.
    package static let checksSHA256 = Dialect(rawValue: 1 << 1)
    /// A HEAD returns the SHA-256 that was checked when the object was written.
    package static let keepsSHA256 = Dialect(rawValue: 1 << 2)
    /// The backend refuses a PUT whose body does not match its `Content-MD5`. RFC 1864.
    package static let checksMD5 = Dialect(rawValue: 1 << 3)
    /// The ETag of a plain PUT is the MD5 of the body that arrived.
    package static let etagIsMD5 = Dialect(rawValue: 1 << 4)
    /// The store runs in this process and hashes what it writes.
    package static let hashesItself = Dialect(rawValue: 1 << 5)

    /// The members that each detect that a body changed on its way.
    package static let bodyChecks: Dialect = [.checksSHA256, .checksMD5, .etagIsMD5, .hashesItself]

    private static let words: [(word: String, meaning: Dialect)] = [
        ("bare-etags", .bareETags), ("sha256", .checksSHA256), ("sha256-kept", .keepsSHA256),
        ("content-md5", .checksMD5), ("md5-etag", .etagIsMD5), ("own-hash", .hashesItself),
    ]

    /// One word for each member, in a fixed order; empty without members.
    var words: [String] { Self.words.filter { contains($0.meaning) }.map(\.word) }

    /// Parses the words of a record; nil if one of them is unknown.
    init?(words: some Sequence<some StringProtocol>) {
        self = []
        for word in words {
            guard let known = Self.words.first(where: { $0.word == word }) else { return nil }
            insert(known.meaning)
        }
    }
}

/// The checksum that the probe sends with a PUT: the right one, or deliberately a wrong one.
package struct BodyClaim: Hashable, Sendable {
    package let kind: Kind
    package let isTrue: Bool

    package enum Kind: Sendable {
        /// `x-amz-checksum-sha256`.
        case sha256
        /// `Content-MD5`.
        case md5
    }

    package init(_ kind: Kind, isTrue: Bool) {
        self.kind = kind
        self.isTrue = isTrue
    }
}
