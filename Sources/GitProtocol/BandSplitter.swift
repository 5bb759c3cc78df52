/// Splits a side-band stream as its bytes arrive.
package struct BandSplitter: Sendable {
    private var pending: [UInt8] = []
    /// Whether the flush at the stream's end has arrived.
    package private(set) var hasEnded = false

    package init() {}

    /// Takes the next bytes and returns the complete packets in them.
    package mutating func split(
        _ bytes: UnsafeRawBufferPointer, _ body: (Band, ArraySlice<UInt8>) throws -> Void
    ) throws {
        pending.append(contentsOf: bytes)
        var start = 0
        while pending.count - start >= 4, !hasEnded {
            switch try PktLine.parseHeader(pending[start..<start + 4]) {
            case .flush:
                hasEnded = true
                start += 4
            case .payload(let length):
                guard pending.count - start >= length + 4 else {
                    pending.removeFirst(start)
                    return
                }
                guard length > 0, let band = Band(rawValue: pending[start + 4]) else {
                    throw ProtocolError.badReport("a packet without a band")
                }
                try body(band, pending[start + 5..<start + 4 + length])
                start += length + 4
            case .delimiter, .responseEnd:
                throw ProtocolError.badReport("a delimiter in a side-band stream")
            }
        }
        pending.removeFirst(start)
        if hasEnded, !pending.isEmpty { throw ProtocolError.badReport("data after the end") }
    }
}
