/// How large objects are cut.
struct PartSizes: Hashable, Sendable {
    /// Bytes. A larger body is sent in parts.
    var threshold: Int64
    /// Bytes of a part, and of a range that is asked for.
    var part: Int64

    /// Bytes: S3 takes no part below 5 MiB but the last, and neither a part nor a single PUT above
    /// 5 GiB. "Amazon S3 multipart upload limits".
    static let allowed: ClosedRange<Int64> = 5 << 20...5 << 30

    static let standard = PartSizes(threshold: 64 << 20, part: 16 << 20)
}

/// The parts of an upload: all of one size, which some backends demand, but for the last.
struct PartPlan: Hashable, Sendable {
    /// Bytes of the body.
    let size: Int64
    /// Bytes of each part but the last.
    let partSize: Int64

    /// S3 takes no more parts than this. "Amazon S3 multipart upload limits".
    static let mostParts: Int64 = 10_000

    /// Bytes of the largest object that can be cut so.
    static let largest = mostParts * PartSizes.allowed.upperBound

    /// Cuts into parts of `partSize`, or larger ones where they would be too many; nil for an empty
    /// body and for one that is larger than ``largest``.
    init?(size: Int64, partSize: Int64) {
        guard size > 0, size <= Self.largest else { return nil }
        let least = (size + Self.mostParts - 1) / Self.mostParts
        let mebibyte: Int64 = 1 << 20
        self.size = size
        self.partSize =
            least <= partSize ? partSize : (least + mebibyte - 1) / mebibyte * mebibyte
    }

    /// How many parts there are.
    var count: Int { Int((size + partSize - 1) / partSize) }

    /// The bytes of a part, which is numbered from 0.
    func range(of part: Int) -> Range<Int64> {
        let start = Int64(part) * partSize
        return start..<min(start + partSize, size)
    }
}
