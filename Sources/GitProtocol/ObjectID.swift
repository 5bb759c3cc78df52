import Bytes

/// The id of a git object: 40 (SHA-1) or 64 (SHA-256) lowercase hex digits.
///
/// It is stored as the hash's bytes, without an allocation of its own: repositories have millions of
/// them.
package struct ObjectID: Hashable, Sendable, CustomStringConvertible {
    // The hash, with its first byte in the highest place and zeros after a SHA-1. Four integers are
    // smaller than a vector of them, which would be aligned.
    private let first: UInt64
    private let second: UInt64
    private let third: UInt64
    private let fourth: UInt64
    /// The format whose ids have this length.
    package let format: ObjectFormat

    /// Parses the digits; nil if there are more or fewer, or other characters.
    package init?(_ bytes: some Collection<UInt8>) {
        switch bytes.count {
        case 40: format = .sha1
        case 64: format = .sha256
        default: return nil
        }
        var words = SIMD4<UInt64>()
        var index = 0
        for byte in bytes {
            guard let value = Hex.value(ofLowercase: byte) else { return nil }
            words[index / 16] |= UInt64(value) << UInt64(60 - index % 16 * 4)
            index += 1
        }
        (first, second, third, fourth) = (words[0], words[1], words[2], words[3])
    }

    private init(zero format: ObjectFormat) {
        self.format = format
        (first, second, third, fourth) = (0, 0, 0, 0)
    }

    /// The zero id: in a command it means "does not exist". gitprotocol-pack(5), `zero-id`.
    package static func zero(_ format: ObjectFormat) -> ObjectID { ObjectID(zero: format) }

    package var isZero: Bool { first | second | third | fourth == 0 }

    /// The digits.
    package var hex: String {
        String(unsafeUninitializedCapacity: format.hexLength) { buffer in
            let words = words
            for index in 0..<format.hexLength { buffer[index] = Self.digit(at: index, of: words) }
            return format.hexLength
        }
    }

    /// Appends the digits to bytes.
    package func appendHex(to bytes: inout [UInt8]) {
        let words = words
        for index in 0..<format.hexLength { bytes.append(Self.digit(at: index, of: words)) }
    }

    /// The hash's bytes.
    package var raw: [UInt8] {
        let words = words
        return (0..<format.rawLength).map { index in
            UInt8(truncatingIfNeeded: words[index / 8] >> UInt64(56 - index % 8 * 8))
        }
    }

    package var description: String { hex }

    private var words: SIMD4<UInt64> { SIMD4(first, second, third, fourth) }

    private static func digit(at index: Int, of words: SIMD4<UInt64>) -> UInt8 {
        Hex.digit(UInt8(truncatingIfNeeded: words[index / 16] >> UInt64(60 - index % 16 * 4)))
    }
}
