/// What the XML body of an error says.
struct ErrorBody: Sendable, Equatable {
    /// S3's code, such as `NoSuchKey`; empty where there is none.
    var code = ""
    /// The region that the bucket is in, where the error is about that.
    var region: String?

    /// Bytes. S3's error bodies have a few hundred; of a longer one the rest is not read.
    static let limit = 1 << 16

    init() {}

    /// Takes what can be had: a body that is no XML, or is cut, has no code.
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

    /// It goes into logs: words of letters and digits only.
    private static func plain(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            isLowerAlphanumeric(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
                || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
        }
        return isPlain && text.utf8.count <= 64 ? text : ""
    }
}
