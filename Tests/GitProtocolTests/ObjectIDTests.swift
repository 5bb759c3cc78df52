import Bytes
import GitProtocol
import Testing

@Suite("Object ids")
struct ObjectIDTests {
    @Test("have 40 or 64 lower-case hex digits", arguments: 0...70)
    func lengths(count: Int) {
        let id = ObjectID([UInt8](repeating: UInt8(ascii: "a"), count: count))
        #expect((id != nil) == (count == 40 || count == 64))
        if count == 40 { #expect(id?.format == .sha1) }
        if count == 64 { #expect(id?.format == .sha256) }
    }

    @Test("have no other byte", arguments: 0...255)
    func digits(byte: Int) {
        var digits = [UInt8](repeating: UInt8(ascii: "0"), count: 40)
        digits[17] = UInt8(byte)
        let isDigit = "0123456789abcdef".utf8.contains(UInt8(byte))
        #expect((ObjectID(digits) != nil) == isDigit)
    }

    @Test("zero is of its format", arguments: [ObjectFormat.sha1, .sha256])
    func zero(format: ObjectFormat) {
        let zero = ObjectID.zero(format)
        #expect(zero.isZero && zero.format == format && zero.hex.utf8.count == format.hexLength)
        #expect(ObjectID(Array(zero.hex.utf8)) == zero)
    }

    // M4
    @Test("keep every digit, and take 40 bytes of memory", arguments: [40, 64])
    func everyDigit(count: Int) throws {
        #expect(MemoryLayout<ObjectID>.stride == 40)
        var seen: Set<ObjectID> = []
        for place in 0..<count {
            for digit in "123456789abcdef".utf8 {
                var digits = [UInt8](repeating: UInt8(ascii: "0"), count: count)
                digits[place] = digit
                let id = try #require(ObjectID(digits))
                #expect(Array(id.hex.utf8) == digits && !id.isZero)
                var bytes = Array("x".utf8)
                id.appendHex(to: &bytes)
                #expect(bytes == Array("x".utf8) + digits)
                #expect(Hex.decode(digits) == id.raw)
                seen.insert(id)
            }
        }
        #expect(seen.count == 15 * count)
        #expect(ObjectID.zero(.sha1) != ObjectID.zero(.sha256))
    }
}
