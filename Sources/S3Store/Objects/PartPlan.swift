/// The sizes by which large objects are divided.
struct PartSizes: Hashable, Sendable {
    /// Bytes. Larger bodies are sent in parts.
    var threshold: Int64
    /// Bytes of a part, and of a requested range.
    var part: Int64

    /// Bytes. S3 refuses parts below 5 MiB, except the last, and parts and single PUTs above 5 GiB.
    /// "Amazon S3 multipart upload limits".
    static let allowed: ClosedRange<Int64> = 5 << 20...5 << 30

    static let standard = PartSizes(threshold: 64 << 20, part: 16 << 20)
}

/// The parts of an upload. All except the last have the same size, which some backends require.
struct PartPlan: Hashable, Sendable {
    /// Bytes of the body.
    let size: Int64
    /// Bytes of each part except the last.
    let partSize: Int64

    /// The largest number of parts. "Amazon S3 multipart upload limits".
    static let mostParts: Int64 = 10_000

    /// Bytes of the largest object that can be divided this way.
    static let largest = mostParts * PartSizes.allowed.upperBound

    /// Divides a body into parts of `partSize`, or larger ones if they would be too many; nil for
    /// an empty body and for one that is larger than ``largest``.
    init?(size: Int64, partSize: Int64) {
        guard size > 0, size <= Self.largest else { return nil }
        let least = (size + Self.mostParts - 1) / Self.mostParts
        let mebibyte: Int64 = 1 << 20
        self.size = size
        self.partSize =
            least <= partSize ? partSize : (least + mebibyte - 1) / mebibyte * mebibyte
    }

    /// The number of parts.
    var count: Int { Int((size + partSize - 1) / partSize) }

    /// The bytes of a part. Parts are numbered from 0.
    func range(of part: Int) -> Range<Int64> {
        let start = Int64(part) * partSize
        return start..<min(start + partSize, size)
    }
}
