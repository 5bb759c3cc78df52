/// Follows the pkt-lines of a request that passes by in chunks, without storing their bytes.
package struct PktLineFraming: Sendable {
    private var digits: [UInt8] = []
    private var payloadLeft = 0
    /// The beginning of a line that would be long for a filter; nil for other lines.
    private var beginning: [UInt8]?

    /// The largest `filter` line in bytes. git's own have less than a hundred. git copies the rest
    /// once for each `combine:` in it, so that 64 KiB of them need half a gigabyte of memory.
    package static let maximumFilter = 1024

    private static let filter = Array("filter ".utf8)

    package init() {}

    /// Takes the next bytes.
    ///
    /// - Throws: ``ProtocolError`` for a malformed line, for a filter longer than
    ///   ``maximumFilter``, and for `0002`. Only responses end with that; in a request git's server
    ///   takes it for its own bug and aborts.
    package mutating func follow(_ bytes: UnsafeRawBufferPointer) throws(ProtocolError) {
        var index = 0
        while index < bytes.count {
            if payloadLeft > 0 {
                let taken = min(payloadLeft, bytes.count - index)
                try lookForFilter(UnsafeRawBufferPointer(rebasing: bytes[index..<index + taken]))
                payloadLeft -= taken
                index += taken
                continue
            }
            digits.append(bytes[index])
            index += 1
            if digits.count == 4 {
                switch try PktLine.parseHeader(digits) {
                case .payload(let length):
                    payloadLeft = length
                    beginning = length > Self.maximumFilter ? [] : nil
                case .flush, .delimiter: break
                case .responseEnd: throw .badPktLine("unexpected response-end packet")
                }
                digits.removeAll(keepingCapacity: true)
            }
        }
    }

    private mutating func lookForFilter(
        _ bytes: UnsafeRawBufferPointer
    ) throws(ProtocolError) {
        guard let known = beginning, known.count < Self.filter.count else { return }
        let all = known + bytes.prefix(Self.filter.count - known.count)
        if all == Self.filter {
            throw .badPktLine("a filter is longer than \(Self.maximumFilter) bytes")
        }
        beginning = all
    }

    /// Reports that the stream has ended.
    ///
    /// - Throws: ``ProtocolError/truncated(_:)`` if it ended within a line.
    package func end() throws(ProtocolError) {
        if payloadLeft > 0 { throw .truncated("a pkt-line") }
        if !digits.isEmpty { throw .truncated("a pkt-line's length") }
    }
}
