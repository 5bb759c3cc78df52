/// Hexadecimal digits. RFC 4648 §8.
package enum Hex {
    /// The lowercase digit of the low four bits of `value`.
    @inlinable
    package static func digit(_ value: UInt8) -> UInt8 {
        let value = value & 15
        return value < 10 ? 0x30 + value : 0x57 + value
    }

    /// The two lowercase digits of a byte.
    package static func digits(_ byte: UInt8) -> [UInt8] { [digit(byte >> 4), digit(byte)] }

    /// The two uppercase digits of a byte, as percent-encoding uses them.
    package static func uppercaseDigits(_ byte: UInt8) -> [UInt8] {
        [byte >> 4, byte & 15].map { $0 < 10 ? 0x30 + $0 : 0x37 + $0 }
    }

    /// The lowercase digits of `bytes`, two for each.
    package static func encode(_ bytes: some Collection<UInt8>) -> String {
        String(decoding: bytes.flatMap(digits), as: UTF8.self)
    }

    /// The bytes with these digits of either case; nil if one is not a digit, or their number is odd.
    package static func decode(_ digits: some Collection<UInt8>) -> [UInt8]? {
        let values = digits.compactMap(value(of:))
        guard values.count == digits.count, values.count.isMultiple(of: 2) else { return nil }
        return stride(from: 0, to: values.count, by: 2).map { values[$0] << 4 | values[$0 + 1] }
    }

    /// The value of a digit of either case; nil if it is not one.
    package static func value(of digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// The value of a lowercase digit; nil if it is not one. Object ids and digests have no others.
    @inlinable
    package static func value(ofLowercase digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        default: nil
        }
    }

    /// The lowercase digits of `count` random bytes. getrandom(2), by the standard library's
    /// generator.
    package static func random(bytes count: Int = 16) -> String {
        encode((0..<count).map { _ in UInt8.random(in: 0...255) })
    }
}
