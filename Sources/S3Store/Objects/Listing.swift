import Bytes

/// A page of S3 ListObjectsV2.
struct Listing: Equatable {
    /// The full keys, decoded.
    var objects: [Object] = []
    var isTruncated = false

    struct Object: Equatable {
        let key: String
        let size: Int64
    }

    /// Parses an answer; nil if it is not one.
    init?(_ bytes: [UInt8]) {
        guard let leaves = xmlLeaves(of: bytes) else { return nil }
        // A backend that does not support encoding-type=url does not repeat it.
        let isEncoded = leaves.contains(
            XMLLeaf(path: "/ListBucketResult/EncodingType", text: "url"))
        var key: String?
        var isListing = false
        for leaf in leaves {
            switch leaf.path {
            case "/ListBucketResult/Contents/Key":
                key = isEncoded ? Self.decoded(leaf.text) : leaf.text
                if key == nil { return nil }
            case "/ListBucketResult/Contents/Size":
                guard let name = key, let size = Int64(leaf.text), size >= 0 else { return nil }
                objects.append(Object(key: name, size: size))
                key = nil
            case "/ListBucketResult/IsTruncated":
                isTruncated = leaf.text == "true"
            default: break
            }
            if leaf.path.hasPrefix("/ListBucketResult/") { isListing = true }
        }
        guard isListing, key == nil else { return nil }
    }

    /// Decodes form encoding: some backends write a space as `+`, and all write `+` as `%2B`.
    private static func decoded(_ text: String) -> String? {
        let spaced = text.utf8.map { $0 == UInt8(ascii: "+") ? UInt8(ascii: " ") : $0 }
        return PercentCoding.decode(String(decoding: spaced, as: UTF8.self))
    }
}
