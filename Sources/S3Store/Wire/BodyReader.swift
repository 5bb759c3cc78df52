import Glibc
import ObjectStore
import Posix

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
