/// What a backend understands, checks and keeps beyond the axioms. The conformance probe finds it
/// out, the admission record keeps it, and the admitted store speaks it.
package struct Dialect: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// If-Match is sent the ETag without its quotes: the backend refuses its own tag otherwise.
    package static let bareETags = Dialect(rawValue: 1)
    /// A PUT whose body does not have the `x-amz-checksum-sha256` sent along is refused.
    package static let checksSHA256 = Dialect(rawValue: 1 << 1)
    /// A HEAD returns the SHA-256 that was checked when the object was written.
    package static let keepsSHA256 = Dialect(rawValue: 1 << 2)
    /// A PUT whose body does not have the `Content-MD5` sent along is refused. RFC 1864.
    package static let checksMD5 = Dialect(rawValue: 1 << 3)
    /// The ETag of a plain PUT is the MD5 of the body that arrived.
    package static let etagIsMD5 = Dialect(rawValue: 1 << 4)
    /// The store runs in this process and hashes what it writes.
    package static let hashesItself = Dialect(rawValue: 1 << 5)

    /// Each of these finds out that a body changed on its way.
    package static let bodyChecks: Dialect = [.checksSHA256, .checksMD5, .etagIsMD5, .hashesItself]

    private static let words: [(word: String, meaning: Dialect)] = [
        ("bare-etags", .bareETags), ("sha256", .checksSHA256), ("sha256-kept", .keepsSHA256),
        ("content-md5", .checksMD5), ("md5-etag", .etagIsMD5), ("own-hash", .hashesItself),
    ]

    /// One word for each member, in a fixed order; empty for none.
    var words: [String] { Self.words.filter { contains($0.meaning) }.map(\.word) }

    /// Takes the words of a record; nil if one is not known.
    init?(words: some Sequence<some StringProtocol>) {
        self = []
        for word in words {
            guard let known = Self.words.first(where: { $0.word == word }) else { return nil }
            insert(known.meaning)
        }
    }
}

/// A checksum sent along with a PUT of the probe: the right one, or deliberately another.
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
