/// The range of an answer, and the size of the object: `bytes 0-99/1234`. RFC 9110 §14.4.
struct ContentRange: Hashable, Sendable {
    let range: Range<Int64>
    /// The size of the whole object in bytes.
    let total: Int64

    /// Parses a header's value; nil unless it is a range of bytes with a known total.
    init?(_ value: String) {
        guard value.hasPrefix("bytes ") else { return nil }
        let halves = value.dropFirst("bytes ".count)
            .split(separator: "/", omittingEmptySubsequences: false)
        guard halves.count == 2 else { return nil }
        let ends = halves[0].split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = Self.number(ends[0]), let last = Self.number(ends[1]),
            let total = Self.number(halves[1]), first <= last, last < total
        else { return nil }
        range = first..<last + 1
        self.total = total
    }

    private static func number(_ digits: Substring) -> Int64? {
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int64(digits)
    }
}
