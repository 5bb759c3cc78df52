/// The order in which a backend lists keys; a page is in one of them from its beginning to its end.
enum ListingOrder: CaseIterable {
    /// As S3 documents it.
    case bytes
    /// Part by part, as in a tree of directories: `a/b` before `a-b/c`. SeaweedFS has it.
    case parts

    /// Whether a key is listed before another.
    func precedes(_ first: [UInt8], _ second: [UInt8]) -> Bool {
        switch self {
        case .bytes: first.lexicographicallyPrecedes(second)
        case .parts:
            // No key has a zero byte: it sorts before whatever a part goes on with.
            first.lexicographicallyPrecedes(second) { Self.rank($0) < Self.rank($1) }
        }
    }

    private static func rank(_ byte: UInt8) -> UInt8 {
        byte == UInt8(ascii: "/") ? 0 : byte
    }
}
