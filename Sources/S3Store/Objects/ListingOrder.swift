/// The order in which a backend lists keys. A whole page has the same order.
enum ListingOrder: CaseIterable {
    /// The documented order of S3.
    case bytes
    /// By path components, as in a tree of directories: `a/b` before `a-b/c`. SeaweedFS uses it.
    case parts

    /// Whether the first key is listed before the second.
    func precedes(_ first: [UInt8], _ second: [UInt8]) -> Bool {
        switch self {
        case .bytes: first.lexicographicallyPrecedes(second)
        case .parts:
            // No key has a zero byte, which therefore sorts before any other byte of a component.
            first.lexicographicallyPrecedes(second) { Self.rank($0) < Self.rank($1) }
        }
    }

    private static func rank(_ byte: UInt8) -> UInt8 {
        byte == UInt8(ascii: "/") ? 0 : byte
    }
}
