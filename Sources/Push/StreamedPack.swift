import Git
import Posix
import Synchronization

/// The body of a push while git receives it, with the pack's header.
///
/// The header decides which pack must exist afterward, so that nothing has to be inferred from
/// files that do not exist.
final class StreamedPack: ByteStream {
    private let body: any ByteStream
    private let beginning = Mutex<[UInt8]>([])

    /// - Parameter body: a push after its commands.
    init(_ body: any ByteStream) { self.body = body }

    var hangupDescriptor: Int32? { body.hangupDescriptor }

    func cancel() { body.cancel() }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = try body.read(into: buffer)
        beginning.withLock { bytes in
            bytes += buffer[..<count].prefix(PackHeader.length - bytes.count)
        }
        return count
    }

    /// The header of the pack that git was given; nil if it did not arrive completely.
    var header: PackHeader? { beginning.withLock { PackHeader($0) } }
}
