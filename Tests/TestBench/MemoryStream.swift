import Posix
import Synchronization

/// A request's body in memory.
package final class MemoryStream: ByteStream {
    /// How it ends.
    package enum End { case proper, cut }

    private let rest: Mutex<ArraySlice<UInt8>>
    private let end: End
    package struct Cut: Error {}

    package init(_ bytes: [UInt8], _ end: End = .proper) {
        rest = Mutex(bytes[...])
        self.end = end
    }

    package var hangupDescriptor: Int32? { nil }
    package func cancel() {}

    package func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let taken = rest.withLock { rest in
            let taken = rest.prefix(buffer.count)
            rest = rest.dropFirst(taken.count)
            return taken
        }
        if taken.isEmpty, end == .cut { throw Cut() }
        buffer.copyBytes(from: taken)
        return taken.count
    }
}
