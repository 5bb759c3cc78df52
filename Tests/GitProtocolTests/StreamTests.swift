import GitProtocol
import Testing

/// A stream that is cut anywhere: every way to cut it must give the same.
@Suite struct StreamTests {
    /// Feeds `bytes` cut at `first` and `second`.
    private static func cut(
        _ bytes: [UInt8], _ first: Int, _ second: Int,
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) rethrows {
        for part in [bytes[..<first], bytes[first..<second], bytes[second...]] {
            try Array(part).withUnsafeBytes(body)
        }
    }

    @Test func framingIsFoundHoweverTheStreamIsCut() throws {
        let stream = Array("0009hello000000010005x0004000cabcdefgh0000".utf8)
        for first in 0...stream.count {
            for second in first...stream.count {
                var framing = PktLineFraming()
                try Self.cut(stream, first, second) { try framing.follow($0) }
                try framing.end()
            }
        }
    }

    @Test func streamEndingWithinALineIsTruncated() throws {
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

    @Test(arguments: ["0003", "fff1", "zzzz", "00 8"])
    func badLengthIsFoundHoweverTheStreamIsCut(digits: String) {
        let stream = Array("0005a\(digits)bcd".utf8)
        for split in 0...stream.count {
            var framing = PktLineFraming()
            #expect(throws: ProtocolError.self) {
                try Self.cut(stream, split, stream.count) { try framing.follow($0) }
            }
        }
    }

    @Test func bandsAreSplitHoweverTheStreamIsCut() throws {
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

    @Test func truncatedStreamYieldsNoPartialPacket() throws {
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

    @Test(arguments: [
        "0004", "0005\u{4}", "0005\u{0}", "0001", "0002", "0003", "xxxx",
    ])
    func otherStreamsAreRefused(text: String) {
        var splitter = BandSplitter()
        #expect(throws: ProtocolError.self) {
            try Array(text.utf8).withUnsafeBytes { try splitter.split($0) { _, _ in } }
        }
    }

    @Test(arguments: 1...9)
    func bytesAfterTheEndAreRefused(extra: Int) {
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
