import ObjectStore
import Posix

/// The body of a PUT on its way out. Its last bytes leave only when all of it is known to have the
/// digest that the request names: a body that is not what was hashed before never arrives complete.
///
/// It can be begun again, for libcurl re-sends on a new connection when a reused one turns out dead;
/// the hashes begin again then.
final class UploadSource {
    private let body: HTTPBody
    private let reader: BodyReader
    private let takesMD5: Bool
    private var hash = SHA256()
    private var runningMD5: MD5?
    /// Whether a whole copy has left, which the server may have received.
    private(set) var hasSentAll = false
    /// Whether bytes that had been given out were asked for again: another copy of the request is,
    /// or may be, on its way.
    private(set) var wasRewound = false
    /// The MD5 of what left; nil before all of it has, or where it is not taken.
    private(set) var md5: [UInt8]?

    /// Why a body is not sent further.
    enum Failure: Error {
        case system(SystemError)
        /// It has another digest than the one announced.
        case changed(Digest)
    }

    /// - Parameter takesMD5: whether the MD5 is taken as well.
    init(_ body: HTTPBody, takesMD5: Bool = false) throws(Failure) {
        self.body = body
        self.takesMD5 = takesMD5
        do {
            reader = try BodyReader(body.range, of: body.whole)
        } catch {
            throw .system(error)
        }
        runningMD5 = takesMD5 ? MD5() : nil
        // Of nothing, nothing is read.
        if reader.size == 0 { try complete() }
    }

    /// Bytes.
    var size: Int64 { reader.size }

    /// Whether all of the copy that is on its way has been given out.
    var isAtEnd: Bool { reader.isAtEnd }

    /// Begins again; false: it cannot go on from there. libcurl goes back to the beginning only.
    func seek(to offset: Int64) -> Bool {
        guard offset == 0 else { return false }
        if reader.offset > 0 { wasRewound = true }
        reader.rewind()
        hash = SHA256()
        runningMD5 = takesMD5 ? MD5() : nil
        return true
    }

    /// Reads what comes next; 0 at the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(Failure) -> Int {
        let count: Int
        do {
            count = try reader.read(into: buffer)
        } catch {
            throw .system(error)
        }
        guard count > 0 else { return 0 }
        // What libcurl gets is this very memory.
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
