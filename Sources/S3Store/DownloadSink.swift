import Glibc
import ObjectStore
import Posix

/// The body of a GET on its way in: hashed, and kept in memory or in a file.
final class DownloadSink {
    private var bytes: [UInt8] = []
    private let limit: Int
    /// Owns ``descriptor``.
    private let file: OwnedDescriptor?
    private let descriptor: Int32?
    private var size: Int64 = 0
    private var hasher: SHA256? = SHA256()

    /// Why a body is not taken further.
    enum Refusal: Error {
        case tooLarge(limit: Int)
        case system(SystemError)
    }

    init(_ destination: Destination) throws(SystemError) {
        switch destination {
        case .memory(let limit):
            self.limit = limit
            file = nil
            descriptor = nil
        case .file(let path):
            limit = .max
            let opened = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
            descriptor = opened.raw
            file = consume opened
        }
    }

    func append(_ chunk: UnsafeRawBufferPointer) throws(Refusal) {
        hasher?.update(chunk)
        size += Int64(chunk.count)
        if size > Int64(limit) { throw .tooLarge(limit: limit) }
        guard let descriptor else {
            bytes.append(contentsOf: chunk)
            return
        }
        do {
            try writeAll(descriptor, chunk)
        } catch {
            throw .system(error)
        }
    }

    /// What came in. The sink is done then.
    func finish() -> HTTPAnswer.Received {
        HTTPAnswer.Received(bytes: bytes, size: size, digest: hasher.take()?.finish())
    }
}
