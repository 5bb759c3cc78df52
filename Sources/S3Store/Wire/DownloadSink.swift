import Bytes
import Glibc
import ObjectStore
import Posix

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
