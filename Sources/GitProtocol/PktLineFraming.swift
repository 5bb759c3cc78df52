/// Follows the pkt-lines of a stream that passes by in chunks, without keeping their bytes.
package struct PktLineFraming: Sendable {
    private var digits: [UInt8] = []
    private var payloadLeft = 0

    package init() {}

    /// Takes the next bytes.
    package mutating func follow(_ bytes: UnsafeRawBufferPointer) throws(ProtocolError) {
        var index = 0
        while index < bytes.count {
            if payloadLeft > 0 {
                let taken = min(payloadLeft, bytes.count - index)
                payloadLeft -= taken
                index += taken
                continue
            }
            digits.append(bytes[index])
            index += 1
            if digits.count == 4 {
                if case .payload(let length) = try PktLine.parseHeader(digits) {
                    payloadLeft = length
                }
                digits.removeAll(keepingCapacity: true)
            }
        }
    }

    /// Says that the stream has ended.
    ///
    /// - Throws: ``ProtocolError/truncated(_:)`` if that is within a line.
    package func end() throws(ProtocolError) {
        if payloadLeft > 0 { throw .truncated("a pkt-line") }
        if !digits.isEmpty { throw .truncated("a pkt-line's length") }
    }
}
