import Bytes

/// One pkt-line, or one of the special packets. gitprotocol-common(5), "pkt-line Format".
package enum PktLine: Equatable, Sendable {
    case data([UInt8])
    /// `0000`.
    case flush
    /// `0001`. gitprotocol-v2(5).
    case delimiter
    /// `0002`. gitprotocol-v2(5).
    case responseEnd

    /// The largest payload in bytes. gitprotocol-common(5): a line has at most 65520 bytes
    /// including its length.
    package static let maximumPayload = 65_516

    /// The largest payload in bytes after the band number. gitprotocol-capabilities(5),
    /// `side-band-64k`.
    package static let maximumBandPayload = 65_515

    /// Appends a line with `payload`, which must fit, to `bytes`.
    package static func append(_ payload: some Collection<UInt8>, to bytes: inout [UInt8]) {
        precondition(payload.count <= maximumPayload)
        bytes.append(contentsOf: header(payload.count + 4))
        bytes.append(contentsOf: payload)
    }

    /// Appends `payload` on `band`, in as many lines as necessary. An empty payload is one empty
    /// line, a keep-alive.
    package static func append(
        _ payload: some Collection<UInt8>, on band: Band, to bytes: inout [UInt8]
    ) {
        var rest = payload[...]
        repeat {
            let part = rest.prefix(maximumBandPayload)
            bytes.append(contentsOf: header(part.count + 5))
            bytes.append(band.rawValue)
            bytes.append(contentsOf: part)
            rest = rest.dropFirst(part.count)
        } while !rest.isEmpty
    }

    /// `0000`.
    package static let flushBytes = Array("0000".utf8)

    private static func header(_ length: Int) -> [UInt8] {
        [12, 8, 4, 0].map { Hex.digit(UInt8(truncatingIfNeeded: length >> $0)) }
    }

    /// The meaning of a line's four length digits.
    package enum Header: Equatable, Sendable {
        /// A line with this many bytes of payload.
        case payload(Int)
        case flush, delimiter, responseEnd
    }

    /// Parses four length digits; uppercase is accepted, as in git.
    package static func parseHeader(
        _ digits: some Collection<UInt8>
    ) throws(ProtocolError) -> Header {
        var length = 0
        for digit in digits {
            guard let value = Hex.value(of: digit) else {
                throw .badPktLine("the length is not four hex digits")
            }
            length = length << 4 | Int(value)
        }
        switch length {
        case 0: return .flush
        case 1: return .delimiter
        case 2: return .responseEnd
        case 3: throw .badPktLine("a length of 3")
        case 65_521...: throw .badPktLine("a length of \(length), more than 65520")
        default: return .payload(length - 4)
        }
    }
}

/// A substream of the answer. gitprotocol-capabilities(5), `side-band-64k`.
package enum Band: UInt8, Sendable {
    /// Data: a push's report, a fetch's pack.
    case data = 1
    /// Progress, shown on the client's standard error.
    case progress = 2
    /// A fatal error's text.
    case error = 3
}

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
