import Bytes
import GitProtocol
import Testing

/// Object ids.
@Suite struct ObjectIDTests {
    @Test(arguments: 0...70)
    func lengthIsThatOfTheFormat(count: Int) {
        let id = ObjectID([UInt8](repeating: UInt8(ascii: "a"), count: count))
        #expect((id != nil) == (count == 40 || count == 64))
        if count == 40 { #expect(id?.format == .sha1) }
        if count == 64 { #expect(id?.format == .sha256) }
    }

    @Test(arguments: 0...255)
    func otherBytesThanLowerCaseHexAreRefused(byte: Int) {
        var digits = [UInt8](repeating: UInt8(ascii: "0"), count: 40)
        digits[17] = UInt8(byte)
        let isDigit = "0123456789abcdef".utf8.contains(UInt8(byte))
        #expect((ObjectID(digits) != nil) == isDigit)
    }

    @Test(arguments: [ObjectFormat.sha1, .sha256])
    func zeroBelongsToItsFormat(format: ObjectFormat) {
        let zero = ObjectID.zero(format)
        #expect(zero.isZero && zero.format == format && zero.hex.utf8.count == format.hexLength)
        #expect(ObjectID(Array(zero.hex.utf8)) == zero)
    }

    // M4
    @Test(arguments: [40, 64])
    func everyDigitIsKeptInFortyBytesOfMemory(count: Int) throws {
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
