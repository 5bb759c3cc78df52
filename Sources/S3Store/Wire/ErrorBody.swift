/// The contents of an error's XML body.
struct ErrorBody: Sendable, Equatable {
    /// S3's code, such as `NoSuchKey`; empty if there is none.
    var code = ""
    /// The bucket's region, if the error is about that.
    var region: String?

    /// The number of bytes that are read. S3's error bodies have a few hundred.
    static let limit = 1 << 16

    init() {}

    /// Parses as much as possible: a body that is not XML, or is truncated, has no code.
    init(_ bytes: [UInt8]) {
        guard let leaves = xmlLeaves(of: bytes) else { return }
        for leaf in leaves {
            switch leaf.path {
            case "/Error/Code": code = Self.plain(leaf.text)
            case "/Error/Region": region = Self.plain(leaf.text)
            default: break
            }
        }
    }

    /// Returns the text if it is safe to log, and otherwise an empty one.
    private static func plain(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            isLowerAlphanumeric(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
                || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
        }
        return isPlain && text.utf8.count <= 64 ? text : ""
    }
}
