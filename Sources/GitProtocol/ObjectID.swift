/// The name of a git object: 40 (SHA-1) or 64 (SHA-256) lower-case hex digits.
package struct ObjectID: Hashable, Sendable, CustomStringConvertible {
    /// The digits.
    package let hex: String

    /// Takes the digits; nil for another number of them, or for anything else.
    package init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 40 || bytes.count == 64, bytes.allSatisfy(Self.isLowerHex) else {
            return nil
        }
        hex = String(decoding: bytes, as: UTF8.self)
    }

    private init(unchecked hex: String) {
        self.hex = hex
    }

    /// Takes digits that were checked before.
    init(checked digits: ArraySlice<UInt8>) {
        hex = String(decoding: digits, as: UTF8.self)
    }

    /// The id of no object: in a command, "does not exist". gitprotocol-pack(5), `zero-id`.
    package static func zero(_ format: ObjectFormat) -> ObjectID {
        ObjectID(unchecked: String(repeating: "0", count: format.hexLength))
    }

    package var isZero: Bool { hex.utf8.allSatisfy { $0 == UInt8(ascii: "0") } }

    /// The format whose ids have this length.
    package var format: ObjectFormat { hex.utf8.count == 40 ? .sha1 : .sha256 }

    package var description: String { hex }

    private static func isLowerHex(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte)
    }
}
