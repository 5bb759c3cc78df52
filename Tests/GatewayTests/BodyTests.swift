import GitProtocol
import Posix
import Synchronization
import TestSupport
import Testing

@testable import Gateway

/// A request's body.
@Suite struct BodyTests {
    private func open(
        _ chunks: [[UInt8]], length: String = "", encoding: String = "", limit: Int64 = 0,
        framing: Body.Framing = .commandsAndPack, end: RequestError? = nil,
        time: Duration = .seconds(60)
    ) throws(RequestError) -> Body {
        try Body(
            of: .with(["CONTENT_LENGTH": length, "HTTP_CONTENT_ENCODING": encoding]),
            from: FakeConnection(chunks, end: end), limit: limit, deadline: .now + time,
            framing: framing)
    }

    private func readAll(_ body: Body, by count: Int = 1000) throws -> [UInt8] {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: count)
        while true {
            let got = try buffer.withUnsafeMutableBytes { try body.read(into: $0) }
            if got == 0 { return all }
            all += buffer[..<got]
        }
    }

    private let text = Array("hello, this is a body of some length".utf8)

    @Test func bodyEqualsWhatWasSentInPiecesOfAnySize() throws {
        for count in [1, 2, 7, 100] {
            let chunks = stride(from: 0, to: text.count, by: count).map {
                Array(text[$0..<min($0 + count, text.count)])
            }
            #expect(try readAll(try open(chunks)) == text)
            #expect(try readAll(try open(chunks, length: "\(text.count)"), by: 3) == text)
        }
        #expect(try readAll(try open([text], length: "5")) == Array(text.prefix(5)))
        #expect(try readAll(try open([text], length: "0")).isEmpty)
    }

    @Test func truncatedBodyFails() throws {
        for count in 0..<text.count {
            let chunk = Array(text.prefix(count))
            #expect(throws: RequestError.bodyCut) {
                try readAll(try open([chunk], length: "\(text.count)"))
            }
            #expect(throws: RequestError.disconnected) {
                try readAll(try open([chunk], end: .disconnected))
            }
        }
    }

    @Test func endIsReportedOnceAndOnlyIfProper() throws {
        let counter = Counter()
        let body = try open([text], length: "\(text.count)")
        body.onEnd = { counter.add() }
        #expect(body.hangupDescriptor == nil)
        #expect(try readAll(body) == text && readAll(body).isEmpty)
        #expect(counter.value == 1)

        let cut = try open([text], length: "\(text.count + 1)")
        cut.onEnd = { counter.add() }
        #expect(throws: RequestError.self) { try readAll(cut) }
        #expect(counter.value == 1)
    }

    @Test func invalidLengthIsRefused() {
        #expect(throws: RequestError.badContentLength("-1")) { try open([], length: "-1") }
    }

    @Test func bodyOverTheLimitIsRefused() throws {
        #expect(throws: RequestError.bodyTooLarge(limit: 10)) {
            try open([], length: "11", limit: 10)
        }
        #expect(throws: RequestError.bodyTooLarge(limit: 10)) {
            try readAll(try open([text], limit: 10))
        }
        #expect(try readAll(try open([text], limit: Int64(text.count))) == text)
        #expect(throws: RequestError.bodyTooLarge(limit: 5)) {
            try open([], length: "9223372036854775807", limit: 5)
        }
    }

    @Test func gzipIsUnpackedInPiecesOfAnySize() throws {
        let long = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 3) }
        for bytes in [[], text, long] {
            let packed = try gzip(bytes)
            for encoding in ["gzip", "x-gzip", "GZIP"] {
                #expect(
                    try readAll(
                        try open([packed], length: "\(packed.count)", encoding: encoding))
                        == bytes)
            }
            let single = bytes.count > 1000 ? [packed] : packed.map { [$0] }
            #expect(try readAll(try open(single, encoding: "gzip"), by: 1000) == bytes)
            if bytes.count < 1000 {
                #expect(try readAll(try open(single, encoding: "gzip"), by: 1) == bytes)
            }
        }
    }

    @Test func gzipMembersAreJoined() throws {
        let packed = try gzip(text) + gzip([]) + gzip(text)
        #expect(try readAll(try open([packed], encoding: "gzip")) == text + text)
        #expect(try readAll(try open(packed.map { [$0] }, encoding: "gzip")) == text + text)
    }

    @Test func gzipTruncatedAnywhereFails() throws {
        let packed = try gzip(text)
        for count in 0..<packed.count {
            #expect(throws: RequestError.self, "\(count)") {
                try readAll(try open([Array(packed.prefix(count))], encoding: "gzip"))
            }
        }
        let two = packed + packed
        for count in packed.count + 1..<two.count {
            #expect(throws: RequestError.self, "\(count)") {
                try readAll(try open([Array(two.prefix(count))], encoding: "gzip"))
            }
        }
    }

    @Test func invalidGzipFails() throws {
        let packed = try gzip(text)
        for bad in [text, packed + [1], packed + text, [0x1f, 0x8b, 9] + packed] {
            #expect(throws: RequestError.self) { try readAll(try open([bad], encoding: "gzip")) }
        }
        // The trailing checksum and length.
        for offset in packed.count - 8..<packed.count {
            var flipped = packed
            flipped[offset] ^= 1
            #expect(throws: RequestError.self) {
                try readAll(try open([flipped], encoding: "gzip"))
            }
        }
    }

    @Test func gzipBombStopsAtTheLimit() throws {
        let packed = try gzip([UInt8](repeating: 0, count: 20_000_000))
        #expect(packed.count < 100_000)
        let body = try open(
            [packed], length: "\(packed.count)", encoding: "gzip", limit: 1_000_000)
        var seen = 0
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        #expect(throws: RequestError.bodyTooLarge(limit: 1_000_000)) {
            while true {
                seen += try buffer.withUnsafeMutableBytes { try body.read(into: $0) }
            }
        }
        #expect(seen <= 1_000_000)
    }

    @Test(arguments: ["br", "deflate", "gzip, gzip", "zstd", "*"])
    func otherEncodingsAreRefused(encoding: String) {
        #expect(throws: RequestError.unknownEncoding(encoding)) { try open([], encoding: encoding) }
    }

    @Test func probeIsRecognizedAndLosesNoByte() throws {
        #expect(try open([Array("0000".utf8)]).isProbe())
        #expect(try open(["0", "00", "0"].map { Array($0.utf8) }).isProbe())
        for other in ["", "0", "000", "00000", "00000009done\n", "0032want"] {
            let bytes = Array(other.utf8)
            let body = try open([bytes])
            #expect(try !body.isProbe())
            #expect(try readAll(body, by: 2) == bytes)
        }
    }

    @Test func fetchBodyMustConsistOfWholePktLines() throws {
        let good = Array("0009done\n0000".utf8)
        #expect(try readAll(try open([good], framing: .pktLines)) == good)
        for count in 1..<good.count where count != 9 {
            #expect(throws: ProtocolError.self, "\(count)") {
                try readAll(try open([Array(good.prefix(count))], framing: .pktLines))
            }
        }
        for bad in ["xxxx", "0003", "fff5", "PACK"] {
            #expect(throws: ProtocolError.self) {
                try readAll(try open([Array(bad.utf8)], framing: .pktLines))
            }
        }
        // Bytes that were read ahead are not counted twice.
        let body = try open([good], framing: .pktLines)
        #expect(try !body.isProbe())
        #expect(try readAll(body) == good)
    }

    @Test func lateBodyIsTooSlow() throws {
        #expect(throws: RequestError.bodyTooSlow) {
            try readAll(try open([text], time: .zero))
        }
    }

    // C7
    @Test func gzipThatNeverYieldsAByteIsTooSlow() throws {
        let body = try Body(
            of: .with(["CONTENT_LENGTH": "", "HTTP_CONTENT_ENCODING": "gzip"]),
            from: EndlessName(), limit: 0, deadline: .now + .milliseconds(50),
            framing: .pktLines)
        #expect(throws: RequestError.bodyTooSlow) { try readAll(body) }
    }

    @Test func bytesReadAheadAreReadAgain() throws {
        let bytes = Array("0009done\n0000".utf8)
        let body = try open([bytes], framing: .pktLines)
        _ = try body.isProbe()
        let found = try body.peek { (reader) throws -> Int? in
            let line = try reader.next()
            #expect(line == .data(Array("done\n".utf8)))
            return nil
        }
        #expect(found == nil)
        #expect(try readAll(body) == bytes)
    }
}

/// A gzip stream whose header contains a file name without end. RFC 1952, FNAME.
private final class EndlessName: Connection {
    private let hasBegun = Atomic(false)

    var hangupDescriptor: Int32? { nil }
    func endReading(after time: Duration) {}
    func allow(_ patience: BodyPatience) {}
    func cancel() {}
    func write(_ bytes: UnsafeRawBufferPointer) {}

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let isFirst = !hasBegun.exchange(true, ordering: .relaxed)
        let bytes: [UInt8] = isFirst ? [0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3] : [0x61]
        buffer.copyBytes(from: bytes)
        return bytes.count
    }
}
