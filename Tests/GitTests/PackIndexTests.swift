import GitProtocol
import Posix
import TestSupport
import Testing

@testable import Git

/// A pack's index.
@Suite struct PackIndexTests {
    private func isGood(
        _ index: [UInt8], _ pack: [UInt8], _ format: ObjectFormat = .sha1
    ) throws -> Bool {
        let scratch = try TemporaryDirectory()
        try Files.write(index, to: scratch.path + "/i")
        try Files.write(pack, to: scratch.path + "/p")
        return try PackIndex.isGood(
            scratch.path + "/i", forPack: scratch.path + "/p", format: format)
    }

    @Test(arguments: [ObjectFormat.sha1, .sha256])
    func gitsIndexIsValid(format: ObjectFormat) throws {
        let source = try GitSource(format: format.rawValue)
        let (pack, index) = try source.indexedPack([try source.commit("one")])
        #expect(try isGood(index, pack, format))
        #expect(try !isGood(index, pack, format == .sha1 ? .sha256 : .sha1))
    }

    @Test func damagedIndexIsInvalid() throws {
        let source = try GitSource()
        let (pack, index) = try source.indexedPack([try source.commit("one")])
        for count in stride(from: 0, to: index.count, by: 7) {
            #expect(try !isGood(Array(index.prefix(count)), pack), "\(count)")
        }
        #expect(try !isGood(index + [0], pack))
        for offset in stride(from: 0, to: index.count, by: 13) {
            var flipped = index
            flipped[offset] ^= 1
            #expect(try !isGood(flipped, pack), "\(offset)")
        }
    }

    @Test func indexOfAnotherPackIsInvalid() throws {
        let source = try GitSource()
        let one = try source.indexedPack([try source.commit("one")])
        let two = try source.indexedPack([try source.commit("two")])
        #expect(try !isGood(one.index, two.pack))
        #expect(try isGood(two.index, two.pack))
    }

    @Test func packWithoutATrailerIsNoDiskFault() throws {
        let source = try GitSource()
        let one = try source.indexedPack([try source.commit("one")])
        for count in [0, 1, 19] {
            #expect(try !isGood(one.index, Array(one.pack.prefix(count))))
        }
    }
}
