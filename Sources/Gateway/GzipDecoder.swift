import CZlib

/// Decodes a gzip stream piece by piece. RFC 1952; several members in a row are one stream.
struct GzipDecoder: ~Copyable {
    private let stream: UnsafeMutablePointer<z_stream>
    private var isBetweenMembers = true
    private var isAtStart = true

    /// 15 bits of window, and 16 for "a gzip header is required". zlib.h, `inflateInit2`.
    private static let windowBits: Int32 = 15 + 16

    init() throws(RequestError) {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        guard gs3_inflate_init(stream, Self.windowBits) == Z_OK else {
            stream.deallocate()
            throw .badGzip("zlib did not start")
        }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// Decodes from `input` into `output`.
    ///
    /// - Returns: the number of bytes read, and of bytes written.
    mutating func decode(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(RequestError) -> (taken: Int, made: Int) {
        guard let source = input.baseAddress, let target = output.baseAddress, !input.isEmpty else {
            return (0, 0)
        }
        if isBetweenMembers, !isAtStart { inflateReset(stream) }
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: source.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(input.count)
        stream.pointee.next_out = target.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(output.count)
        isAtStart = false
        isBetweenMembers = false
        switch inflate(stream, Z_NO_FLUSH) {
        case Z_STREAM_END: isBetweenMembers = true
        case Z_OK, Z_BUF_ERROR: break
        default:
            throw .badGzip(stream.pointee.msg.map { String(cString: $0) } ?? "damaged")
        }
        return (
            input.count - Int(stream.pointee.avail_in), output.count - Int(stream.pointee.avail_out)
        )
    }

    /// Checks that the stream is complete, at the end of the input.
    func end() throws(RequestError) {
        if !isBetweenMembers || isAtStart { throw .badGzip("it is truncated") }
    }
}
