/// Reads pkt-lines from a stream, and not a byte more.
package struct PktLineReader {
    private let read: (Int) throws -> [UInt8]

    /// - Parameter read: reads exactly that many bytes, fewer only at the end of the stream.
    package init(read: @escaping (Int) throws -> [UInt8]) {
        self.read = read
    }

    /// The next line; nil at the end of the stream.
    ///
    /// - Throws: ``ProtocolError`` for a malformed or truncated line, and the errors of reading.
    package func next() throws -> PktLine? {
        let digits = try read(4)
        if digits.isEmpty { return nil }
        guard digits.count == 4 else { throw ProtocolError.truncated("a pkt-line's length") }
        switch try PktLine.parseHeader(digits) {
        case .flush: return .flush
        case .delimiter: return .delimiter
        case .responseEnd: return .responseEnd
        case .payload(let length):
            let payload = length == 0 ? [] : try read(length)
            guard payload.count == length else { throw ProtocolError.truncated("a pkt-line") }
            return .data(payload)
        }
    }
}
