import GitProtocol
import Posix
import Synchronization

/// A request's body as git will read it: decoded, within its limits, and ending properly or with an
/// error.
///
/// Read by one thread at a time: by the worker up to the pack, then by the feeder of git.
final class Body: ByteStream, @unchecked Sendable {
    private let connection: any Connection
    private let contentLength: Request.ContentLength
    /// The largest size in bytes, encoded or decoded; 0 for no limit.
    private let limit: Int64
    /// The time by which the whole body must have arrived; nil if only silence is limited.
    private let deadline: ContinuousClock.Instant?
    private var gzip: GzipDecoder?
    private let framing: Framing

    /// The required format of the body.
    enum Framing {
        /// pkt-lines.
        case pktLines
        /// pkt-lines and then a pack; git looks at it.
        case commandsAndPack
    }

    private var follower = PktLineFraming()
    private var received: Int64 = 0
    private var decoded: Int64 = 0
    private var input = [UInt8](repeating: 0, count: 1 << 16)
    private var inputRange = 0..<0
    private var hasEnded = false
    /// Bytes that were read ahead, to be read again.
    private var pushedBack: ArraySlice<UInt8> = []
    private let ended = Atomic<Bool>(false)
    /// Called once when the body has been read to its proper end.
    var onEnd: (@Sendable () -> Void)?

    /// Takes a request's body.
    init(
        of request: Request, from connection: any Connection, limit: Int64,
        deadline: ContinuousClock.Instant?, framing: Framing
    ) throws(RequestError) {
        self.connection = connection
        self.limit = limit
        self.deadline = deadline
        self.framing = framing
        contentLength = request.contentLength
        switch contentLength {
        case .invalid(let value): throw .badContentLength(value)
        case .known(let length) where limit > 0 && length > limit:
            throw .bodyTooLarge(limit: limit)
        case .known, .unknown: break
        }
        switch request.contentEncoding {
        case "", "identity": gzip = nil
        case "gzip", "x-gzip": gzip = try GzipDecoder()
        default: throw .unknownEncoding(request.contentEncoding)
        }
    }

    var hangupDescriptor: Int32? {
        ended.load(ordering: .acquiring) ? connection.hangupDescriptor : nil
    }

    func cancel() { connection.cancel() }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        if !pushedBack.isEmpty {
            let taken = pushedBack.prefix(buffer.count)
            buffer.copyBytes(from: taken)
            pushedBack = pushedBack.dropFirst(taken.count)
            return taken.count
        }
        if hasEnded { return 0 }
        let count = try decodedBytes(into: buffer)
        if count == 0 {
            if framing == .pktLines { try follower.end() }
            hasEnded = true
            ended.store(true, ordering: .releasing)
            onEnd?()
            return 0
        }
        decoded += Int64(count)
        if limit > 0, decoded > limit { throw RequestError.bodyTooLarge(limit: limit) }
        if framing == .pktLines {
            try follower.follow(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
        return count
    }

    /// Reads exactly `count` bytes, fewer only at the body's end.
    func read(exactly count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = try bytes.withUnsafeMutableBytes {
                try read(into: UnsafeMutableRawBufferPointer(rebasing: $0[filled...]))
            }
            if got == 0 { break }
            filled += got
        }
        bytes.removeLast(count - filled)
        return bytes
    }

    /// Whether the body is the client's probe, a lone `0000`, which it sends before a large body to
    /// check that it is authorized. Otherwise nothing is taken from it.
    func isProbe() throws -> Bool {
        let head = try read(exactly: 5)
        pushedBack = head + pushedBack
        return head == PktLine.flushBytes
    }

    /// Whether the body has no bytes at all. Nothing is taken from it.
    func isEmpty() throws -> Bool {
        let head = try read(exactly: 1)
        pushedBack = head + pushedBack
        return head.isEmpty
    }

    /// Returns bytes that were read, to be read again.
    func putBack(_ bytes: [UInt8]) { pushedBack = bytes + pushedBack }

    /// Reads pkt-lines from the body. If `body` returns nil, they are put back.
    func peek<Value>(_ body: (PktLineReader) throws -> Value?) throws -> Value? {
        var taken: [UInt8] = []
        let reader = PktLineReader { count in
            let bytes = try self.read(exactly: count)
            taken += bytes
            return bytes
        }
        let value = try body(reader)
        if value == nil { pushedBack = taken + pushedBack }
        return value
    }

    private func decodedBytes(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        if gzip == nil { return try encodedBytes(into: buffer) }
        // gzip can continue without ever producing a byte.
        while true {
            if inputRange.isEmpty {
                let count = try input.withUnsafeMutableBytes { try encodedBytes(into: $0) }
                if count == 0 {
                    try gzip?.end()
                    return 0
                }
                inputRange = 0..<count
            }
            let (taken, made) = try input.withUnsafeBytes { bytes in
                try gzip?.decode(
                    UnsafeRawBufferPointer(rebasing: bytes[inputRange]), into: buffer) ?? (0, 0)
            }
            inputRange = (inputRange.lowerBound + taken)..<inputRange.upperBound
            if made > 0 { return made }
            if taken == 0 { throw RequestError.badGzip("it makes no progress") }
        }
    }

    /// Bytes as they arrive, checked against the declared length.
    private func encodedBytes(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        var target = buffer
        if case .known(let length) = contentLength {
            let left = length - received
            if left == 0 { return 0 }
            target = UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(Int(left)))
        }
        if let deadline, ContinuousClock.now >= deadline { throw RequestError.bodyTooSlow }
        let count = try connection.read(into: target)
        received += Int64(count)
        if count == 0, case .known = contentLength { throw RequestError.bodyCut }
        if limit > 0, received > limit { throw RequestError.bodyTooLarge(limit: limit) }
        return count
    }
}
