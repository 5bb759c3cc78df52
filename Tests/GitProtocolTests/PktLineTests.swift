import GitProtocol
import Testing

/// Pkt-lines.
@Suite struct PktLineTests {
    @Test func everyLengthIsReadAsWritten() throws {
        for length in 0...0xffff {
            let digits = [12, 8, 4, 0].map { shift in
                Array("0123456789abcdef".utf8)[(length >> shift) & 15]
            }
            let header = try? PktLine.parseHeader(digits)
            let expected: PktLine.Header? =
                switch length {
                case 0: .flush
                case 1: .delimiter
                case 2: .responseEnd
                case 4...65_520: .payload(length - 4)
                default: nil
                }
            #expect(header == expected, "\(length)")
        }
    }

    @Test func upperCaseDigitsAreAccepted() throws {
        #expect(try PktLine.parseHeader("00AF".utf8) == .payload(0xaf - 4))
        for text in ["00g0", " 004", "+004", "-004", "0x04", "000\n", "0\u{0}04", "00é"] {
            #expect(throws: ProtocolError.self, "\(text)") { try PktLine.parseHeader(text.utf8) }
        }
    }

    @Test(arguments: [0, 1, 2, 1000, 65_515, 65_516])
    func lineIsReadBackAsWritten(count: Int) throws {
        let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        var bytes: [UInt8] = []
        PktLine.append(payload, to: &bytes)
        #expect(bytes.count == count + 4)
        let reader = reading(bytes)
        #expect(try reader.next() == .data(payload))
        #expect(try reader.next() == nil)
    }

    @Test func specialPacketsAreDistinguished() throws {
        let reader = reading(Array("0000000100020004".utf8))
        #expect(try reader.next() == .flush)
        #expect(try reader.next() == .delimiter)
        #expect(try reader.next() == .responseEnd)
        #expect(try reader.next() == .data([]))
        #expect(try reader.next() == nil)
    }

    @Test func truncatedLineFailsAndAnEndBetweenLinesDoesNot() throws {
        let whole = Array("0008abcd0000000bxyz1234".utf8)
        let boundaries = [0, 8, 12, 23]
        for count in 0...whole.count {
            let reader = reading(Array(whole.prefix(count)))
            let result = Result { while try reader.next() != nil {} }
            if boundaries.contains(count) {
                #expect(throws: Never.self, "\(count)") { try result.get() }
            } else {
                #expect(throws: ProtocolError.self, "\(count)") { try result.get() }
            }
        }
    }

    @Test func readerTakesNoByteBeyondTheLines() throws {
        var rest = Array("0008abcd0000PACK".utf8)[...]
        let reader = PktLineReader { count in
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        _ = try reader.next()
        #expect(try reader.next() == .flush)
        #expect(rest.elementsEqual("PACK".utf8))
    }

    // G6
    @Test func responseEndIsMalformedAnywhereInARequest() throws {
        for (before, after) in [
            ("", ""), ("0011command=fetch", "0000"), ("0000", "0000"), ("0001", ""),
            ("00090002x", "0000"),
        ] {
            let bytes = Array((before + "0002" + after).utf8)
            for cut in 0...bytes.count {
                var framing = PktLineFraming()
                #expect(throws: ProtocolError.self, "\(before)0002\(after) cut at \(cut)") {
                    for part in [bytes.prefix(cut), bytes.dropFirst(cut)] {
                        try Array(part).withUnsafeBytes { try framing.follow($0) }
                    }
                }
            }
        }
    }

    @Test(arguments: [1, 3, 4, 5, 7, 4096])
    func filterLengthIsBounded(chunk: Int) throws {
        func follow(_ payload: String) throws {
            var bytes: [UInt8] = []
            PktLine.append(Array(payload.utf8), to: &bytes)
            var framing = PktLineFraming()
            for start in stride(from: 0, to: bytes.count, by: chunk) {
                let part = Array(bytes[start..<min(start + chunk, bytes.count)])
                try part.withUnsafeBytes { try framing.follow($0) }
            }
            try framing.end()
        }
        let limit = PktLineFraming.maximumFilter
        let nested = String(repeating: "combine:", count: 8000)
        #expect(throws: ProtocolError.self) { try follow("filter \(nested)blob:none") }
        #expect(throws: ProtocolError.self) {
            try follow("filter " + String(repeating: "x", count: limit - 6))
        }
        try follow("filter " + String(repeating: "x", count: limit - 7))
        try follow("server-option=" + nested)
        try follow("filterx" + nested)
    }

    @Test func longPayloadIsSplitIntoLinesOfItsBand() throws {
        for count in [0, 1, 65_515, 65_516, 200_000] {
            let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            var bytes: [UInt8] = []
            PktLine.append(payload, on: .progress, to: &bytes)
            var joined: [UInt8] = []
            var lines = 0
            let reader = reading(bytes)
            while case .data(let line)? = try reader.next() {
                #expect(line.first == Band.progress.rawValue)
                joined += line.dropFirst()
                lines += 1
            }
            #expect(joined == payload)
            #expect(lines == max(1, (count + 65_514) / 65_515))
        }
    }
}

/// A reader of bytes in memory.
func reading(_ bytes: [UInt8]) -> PktLineReader {
    var rest = bytes[...]
    return PktLineReader { count in
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }
}
