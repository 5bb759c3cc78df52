import GitProtocol
import Testing

/// What comes in is cut anywhere: every way to cut it must give the same.
@Suite("Streams in chunks")
struct StreamTests {
    /// Feeds `bytes` cut at `first` and `second`.
    private static func cut(
        _ bytes: [UInt8], _ first: Int, _ second: Int,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) rethrows {
        for part in [bytes[..<first], bytes[first..<second], bytes[second...]] {
            try Array(part).withUnsafeBytes(body)
        }
    }

    @Test("the framing of whole lines is found whole, however it is cut")
    func framingFollows() throws {
        let stream = Array("0009hello000000010005x0004000cabcdefgh0000".utf8)
        for first in 0...stream.count {
            for second in first...stream.count {
                var framing = PktLineFraming()
                try Self.cut(stream, first, second) { try framing.follow($0) }
                try framing.end()
            }
        }
    }

    @Test("a stream that ends within a line is told as cut")
    func framingTruncated() throws {
        let stream = Array("0009hello00000005x".utf8)
        let whole: Set = [0, 9, 13, 18]
        for count in 0...stream.count {
            for split in 0...count {
                var framing = PktLineFraming()
                try Self.cut(Array(stream.prefix(count)), split, count) { try framing.follow($0) }
                let end = Result { try framing.end() }
                #expect((try? end.get()) != nil ? whole.contains(count) : !whole.contains(count))
            }
        }
    }

    @Test("a bad length is found, however it is cut", arguments: ["0003", "fff1", "zzzz", "00 8"])
    func framingBad(digits: String) {
        let stream = Array("0005a\(digits)bcd".utf8)
        for split in 0...stream.count {
            var framing = PktLineFraming()
            #expect(throws: ProtocolError.self) {
                try Self.cut(stream, split, stream.count) { try framing.follow($0) }
            }
        }
    }

    @Test("bands are taken apart the same, however the stream is cut")
    func splitterSplits() throws {
        var stream: [UInt8] = []
        PktLine.append(Array("one".utf8), on: .progress, to: &stream)
        PktLine.append(Array("0006ab0000".utf8), on: .data, to: &stream)
        PktLine.append([], on: .progress, to: &stream)
        PktLine.append(Array("bad".utf8), on: .error, to: &stream)
        stream += PktLine.flushBytes
        for first in 0...stream.count {
            for second in first...stream.count {
                var splitter = BandSplitter()
                var seen: [(Band, [UInt8])] = []
                try Self.cut(stream, first, second) { part in
                    try splitter.split(part) { seen.append(($0, Array($1))) }
                }
                #expect(seen.map(\.0) == [.progress, .data, .progress, .error])
                #expect(
                    seen.map(\.1) == ["one", "0006ab0000", "", "bad"].map { Array($0.utf8) })
                #expect(splitter.hasEnded)
            }
        }
    }

    @Test("a stream cut short has not ended, and no half packet is given out")
    func splitterTruncated() throws {
        var stream: [UInt8] = []
        PktLine.append(Array("abc".utf8), on: .data, to: &stream)
        stream += PktLine.flushBytes
        for count in 0..<stream.count {
            var splitter = BandSplitter()
            var given = 0
            try stream.prefix(count).withUnsafeBytes { part in
                try splitter.split(part) { _, _ in given += 1 }
            }
            #expect(!splitter.hasEnded)
            #expect(given == (count >= 8 ? 1 : 0))
        }
    }

    @Test(
        "what is no side-band stream is refused",
        arguments: [
            "0004", "0005\u{4}", "0005\u{0}", "0001", "0002", "0003", "xxxx",
        ])
    func splitterRefuses(text: String) {
        var splitter = BandSplitter()
        #expect(throws: ProtocolError.self) {
            try Array(text.utf8).withUnsafeBytes { try splitter.split($0) { _, _ in } }
        }
    }

    @Test("bytes behind the end are refused, be it one", arguments: 1...9)
    func splitterEnds(extra: Int) {
        let tail = Array("0006\u{1}xyzw".utf8).prefix(extra)
        let stream = PktLine.flushBytes + tail
        for split in 0...stream.count {
            var splitter = BandSplitter()
            #expect(throws: ProtocolError.self, "\(extra), cut at \(split)") {
                try Self.cut(stream, split, stream.count) { part in
                    try splitter.split(part) { _, _ in }
                }
            }
        }
    }
}
