import Cache
import Posix

/// A body that is received from the client before git is started.
///
/// Read by one thread at a time.
final class SpooledBody: ByteStream, @unchecked Sendable {
    private let body: Body
    private let spool: Spool
    private var isSpooled = true

    /// Receives the body from the client, or as much of it as there is room for.
    ///
    /// - Throws: as ``Body/read(into:)``.
    init(_ body: Body, in space: SpoolSpace) throws {
        self.body = body
        spool = Spool(in: space)
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = try buffer.withUnsafeMutableBytes { try body.read(into: $0) }
            if count == 0 { break }
            let isWhole = try buffer.withUnsafeBytes {
                try spool.appendIfRoom(UnsafeRawBufferPointer(rebasing: $0[..<count]))
            }
            guard isWhole else {
                body.putBack(Array(buffer[..<count]))
                break
            }
        }
        spool.finish()
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        if isSpooled {
            let count = try spool.read(into: buffer)
            if count > 0 { return count }
            isSpooled = false
        }
        return try body.read(into: buffer)
    }

    func cancel() { body.cancel() }

    var hangupDescriptor: Int32? { body.hangupDescriptor }
}
