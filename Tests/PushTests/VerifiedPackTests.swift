import Bytes
import GitProtocol
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Cache
@testable import Git
@testable import Push

/// A pack bound to the bytes that git wrote.
@Suite struct VerifiedPackTests {
    /// Verifies a pack and its index.
    private func verify(
        _ pack: [UInt8], _ index: [UInt8], _ format: ObjectFormat = .sha1
    ) throws -> VerifiedPack {
        let scratch = try TemporaryDirectory()
        let base = scratch.path + "/pack"
        try Files.write(pack, to: base + ".pack")
        try Files.write(index, to: base + ".idx")
        return try VerifiedPack(base + ".pack", index: base + ".idx", format: format)
    }

    private func hash(_ bytes: [UInt8], _ format: ObjectFormat = .sha1) -> [UInt8] {
        var hash = MessageDigest(format == .sha1 ? .sha1 : .sha256)
        bytes.withUnsafeBytes { hash.update($0) }
        return hash.finish()
    }

    @Test(arguments: [ObjectFormat.sha1, .sha256])
    func goodPackHasTheDigestOfItsBytes(format: ObjectFormat) throws {
        let source = try GitSource(format: format.rawValue)
        let (pack, index) = try source.indexedPack([try source.commit("one")])
        let verified = try verify(pack, index, format)
        #expect(verified.objects == 3)
        #expect(verified.pack.digest == Digest(of: pack))
        #expect(verified.pack.size == Int64(pack.count))
        #expect(verified.index.digest == Digest(of: index))
        #expect(throws: VerifiedPack.Fault.self) {
            try verify(pack, index, format == .sha1 ? .sha256 : .sha1)
        }
    }

    @Test func damagedPackIsRefused() throws {
        let source = try GitSource()
        let first = try source.commit("one")
        let (pack, index) = try source.indexedPack([first])
        for (offset, _) in pack.enumerated() {
            var flipped = pack
            flipped[offset] ^= 0x20
            #expect(throws: VerifiedPack.Fault.self, "\(offset)") { try verify(flipped, index) }
        }
        for offset in stride(from: 0, to: index.count, by: 13) {
            var flipped = index
            flipped[offset] ^= 0x20
            #expect(throws: VerifiedPack.Fault.self, "\(offset)") { try verify(pack, flipped) }
        }
        for count in [0, 1, 11, 12, 20, 32, pack.count - 20, pack.count - 1] {
            #expect(throws: VerifiedPack.Fault.self, "\(count)") {
                try verify(Array(pack.prefix(count)), index)
            }
        }
        let other = try source.indexedPack([try source.commit("two", parent: first)])
        #expect(throws: VerifiedPack.Fault.self) { try verify(pack, other.index) }
    }

    @Test func differingObjectCountsAreRefused() throws {
        let source = try GitSource()
        var (pack, index) = try source.indexedPack([try source.commit("one")])
        pack[11] += 1
        pack = pack.dropLast(20) + hash(Array(pack.dropLast(20)))
        index.replaceSubrange(index.count - 40..<index.count - 20, with: pack.suffix(20))
        index = index.dropLast(20) + hash(Array(index.dropLast(20)))
        #expect(throws: VerifiedPack.Fault.self) { try verify(pack, index) }
    }

    @Test func missingFileIsADiskError() throws {
        do {
            _ = try VerifiedPack("/nonexistent.pack", index: "/nonexistent.idx", format: .sha1)
            Issue.record("verified")
        } catch {
            guard case .unreadable = error else { throw error }
        }
    }

    @Test(arguments: [ObjectFormat.sha1, .sha256])
    func fileOfAnySizeIsHashedToItsTrailer(format: ObjectFormat) throws {
        let scratch = try TemporaryDirectory()
        let path = scratch.path + "/file"
        let length = format.rawLength
        let piece = 1 << 20
        for size in [
            0, 1, length, 2 * length, piece - length, piece - 1, piece, piece + 1, piece + length,
            piece + 2 * length + 1, 2 * piece, 3 * piece + 7,
        ] {
            var bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 + $0 >> 9) }
            bytes += hash(bytes, format)
            try Files.write(bytes, to: path)
            let file = try ChecksummedFile(path, format: format)
            #expect(file.isIntact == (size > 0), "\(size)")
            #expect(file.file.body.digest == Digest(of: bytes), "\(size)")
            #expect(file.head.elementsEqual(bytes.prefix(ChecksummedFile.headLength)), "\(size)")
            #expect(file.tail.elementsEqual(bytes.suffix(2 * length)), "\(size)")
            bytes[size / 2] ^= 1
            try Files.write(bytes, to: path)
            #expect(try !ChecksummedFile(path, format: format).isIntact, "\(size)")
        }
    }

    @Test func headerIsReadFromPiecesOfAnySize() throws {
        let header = Array("PACK".utf8) + [0, 0, 0, 2, 0, 1, 0, 5]
        for step in 1...13 {
            let body = StreamedPack(MemoryStream(header + [9, 9, 9]))
            var buffer = [UInt8](repeating: 0, count: step)
            var passed: [UInt8] = []
            while true {
                let count = try buffer.withUnsafeMutableBytes { try body.read(into: $0) }
                if count == 0 { break }
                passed += buffer[..<count]
            }
            #expect(passed == header + [9, 9, 9])
            #expect(body.header?.objects == 65_541)
        }
        for bytes in [
            [], Array(header.dropLast()), Array("PICK".utf8) + header.dropFirst(4),
            header[..<7] + [4] + header[8...],
        ] {
            #expect(PackHeader(bytes) == nil)
        }
    }
}
