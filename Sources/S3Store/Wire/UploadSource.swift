import Bytes
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
