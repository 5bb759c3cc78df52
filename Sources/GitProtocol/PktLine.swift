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
