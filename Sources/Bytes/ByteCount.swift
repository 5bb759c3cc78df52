/// Parses a number of bytes in the usual notation: with K, M, G or T (and an optional `iB`) for
/// powers of 1024. nil for any other text.
package func byteCount(_ text: String) -> Int64? {
    var digits = text[...]
    if digits.hasSuffix("iB") { digits = digits.dropLast(2) }
    var factor: Int64 = 1
    if let last = digits.last, let power = "KMGT".firstIndex(of: last) {
        factor = 1 << (10 * ("KMGT".distance(from: "KMGT".startIndex, to: power) + 1))
        digits = digits.dropLast()
    }
    guard let number = Int64(digits), number >= 0 else { return nil }
    let (product, overflow) = number.multipliedReportingOverflow(by: factor)
    return overflow ? nil : product
}
