import Bytes
import Glibc
import ObjectStore
import Posix

/// The body of a PUT while it is sent. Its last bytes are sent only if the whole body has the
/// digest in the request, so a body that has changed since it was hashed never arrives complete.
///
/// It can be restarted, together with its hashes, because libcurl resends the body on a new
/// connection if a reused one turns out to be dead.
final class UploadSource {
    private let body: HTTPBody
    private let reader: BodyReader
    private let takesMD5: Bool
    private var hash = SHA256()
    private var runningMD5: MD5?
    /// Whether a complete copy was sent, which the server may have received.
    private(set) var hasSentAll = false
    /// Whether libcurl has read some bytes a second time: another copy of the request is, or may
    /// be, on its way.
    private(set) var wasRewound = false
    /// The MD5 of the sent body; nil before all of it was sent, or if it is not computed.
    private(set) var md5: [UInt8]?

    /// Why the rest of a body is not sent.
    enum Failure: Error {
        case system(SystemError)
        /// Its digest is not the announced one.
        case changed(Digest)
    }

    /// - Parameter takesMD5: whether the MD5 is computed as well.
    init(_ body: HTTPBody, takesMD5: Bool = false) throws(Failure) {
        self.body = body
        self.takesMD5 = takesMD5
        do {
            reader = try BodyReader(body.range, of: body.whole)
        } catch {
            throw .system(error)
        }
        runningMD5 = takesMD5 ? MD5() : nil
        // libcurl does not read an empty body.
        if reader.size == 0 { try complete() }
    }

    /// The number of bytes.
    var size: Int64 { reader.size }

    /// Whether libcurl has read all of the current copy.
    var isAtEnd: Bool { reader.isAtEnd }

    /// Restarts the body. libcurl only goes back to the beginning.
    ///
    /// - Returns: false if the body cannot continue from this offset.
    func seek(to offset: Int64) -> Bool {
        guard offset == 0 else { return false }
        if reader.offset > 0 { wasRewound = true }
        reader.rewind()
        hash = SHA256()
        runningMD5 = takesMD5 ? MD5() : nil
        return true
    }

    /// Reads the next piece.
    ///
    /// - Returns: the number of bytes; 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(Failure) -> Int {
        let count: Int
        do {
            count = try reader.read(into: buffer)
        } catch {
            throw .system(error)
        }
        guard count > 0 else { return 0 }
        // The hash covers exactly the memory that libcurl receives.
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        hash.update(bytes)
        runningMD5?.update(bytes)
        if reader.isAtEnd { try complete() }
        return count
    }

    private func complete() throws(Failure) {
        var whole = SHA256()
        swap(&whole, &hash)
        let digest = whole.finish()
        guard digest == body.digest else { throw .changed(digest) }
        if let running = runningMD5.take() { md5 = running.finish() }
        hasSentAll = true
    }
}

/// The destination of an answer's body: memory, or a place in a file.
final class DownloadSink {
    private let place: Place
    private var bytes: [UInt8] = []
    private var hasher: SHA256?
    /// The number of bytes received.
    private(set) var size: Int64 = 0

    /// The place that a body is written to.
    enum Place {
        /// A body of more bytes than `limit` is refused.
        case memory(limit: Int)
        /// The file, from `offset` on. A body of more than `limit` bytes is refused.
        case file(DownloadFile, offset: Int64, limit: Int64)
        case nowhere
    }

    /// Whether the SHA-256 of the bytes is computed as they arrive.
    enum Hashing { case onTheWay, none }

    /// Why the rest of a body is refused.
    enum Refusal: Error {
        case tooLarge(limit: Int)
        /// It has more bytes than were requested.
        case pastTheEnd
        case system(SystemError)
    }

    init(_ place: Place, _ hashing: Hashing) {
        self.place = place
        hasher = hashing == .onTheWay ? SHA256() : nil
    }

    func append(_ chunk: UnsafeRawBufferPointer) throws(Refusal) {
        hasher?.update(chunk)
        let start = size
        size += Int64(chunk.count)
        switch place {
        case .memory(let limit):
            if size > Int64(limit) { throw .tooLarge(limit: limit) }
            bytes.append(contentsOf: chunk)
        case .file(let file, let offset, let limit):
            if size > limit {
                size = start
                throw .pastTheEnd
            }
            do {
                try file.write(chunk, at: offset + start)
            } catch {
                size = start
                throw .system(error)
            }
        case .nowhere: break
        }
    }

    /// Returns the received body, and ends the sink.
    func finish() -> HTTPAnswer.Received {
        HTTPAnswer.Received(bytes: bytes, size: size, digest: hasher.take()?.finish())
    }
}

/// A file that several answers are written to, each in its own place.
final class DownloadFile {
    private let path: String
    /// Owns ``descriptor``.
    private let file: OwnedDescriptor
    private let descriptor: Int32

    /// Creates the file, or truncates it. open(2).
    init(_ path: String) throws(SystemError) {
        self.path = path
        let opened = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
        descriptor = opened.raw
        file = consume opened
    }

    /// Writes all of the bytes. pwrite(2).
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(SystemError) {
        var rest = bytes
        var place = off_t(offset)
        while let base = rest.baseAddress, !rest.isEmpty {
            let count = rest.count
            let written = try check("pwrite", path) { pwrite(descriptor, base, count, place) }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
            place += written
        }
    }
}

/// A reader of a body, or of a part of one, piece by piece.
final class BodyReader {
    /// The number of bytes to read.
    let size: Int64
    /// The offset of the body in ``bytes`` or in the file.
    private let start: Int64
    private let bytes: [UInt8]
    /// Owns ``descriptor``.
    private let file: OwnedDescriptor?
    private let descriptor: Int32?
    private let path: String
    /// The offset of the next piece, counted from ``start``.
    private(set) var offset: Int64 = 0

    init(_ range: Range<Int64>, of body: ObjectBody) throws(SystemError) {
        size = range.upperBound - range.lowerBound
        start = range.lowerBound
        switch body {
        case .bytes(let bytes, _):
            self.bytes = bytes
            file = nil
            descriptor = nil
            path = ""
        case .file(let path, _, _):
            bytes = []
            let opened = try OwnedDescriptor.open(path, O_RDONLY)
            descriptor = opened.raw
            file = consume opened
            self.path = path
        }
    }

    /// Starts again at the beginning.
    func rewind() { offset = 0 }

    /// Whether the whole body was read.
    var isAtEnd: Bool { offset == size }

    /// Reads the next piece. pread(2).
    ///
    /// - Returns: the number of bytes; 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        let wanted = Int(min(Int64(buffer.count), size - offset))
        guard wanted > 0 else { return 0 }
        let count = try read(wanted, into: buffer)
        // The server would wait for the rest of the announced length.
        if count == 0 { throw SystemError("pread", path, code: ENODATA) }
        offset += Int64(count)
        return count
    }

    private func read(
        _ wanted: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(SystemError) -> Int {
        guard let descriptor else {
            let first = Int(start + offset)
            buffer.copyBytes(from: bytes[first..<first + wanted])
            return wanted
        }
        let first = off_t(start + offset)
        return try check("pread", path) { pread(descriptor, buffer.baseAddress, wanted, first) }
    }
}
