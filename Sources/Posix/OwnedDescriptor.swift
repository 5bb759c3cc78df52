import CSystem
package import Glibc

/// A file descriptor with one owner. It is closed when this value is destroyed.
package struct OwnedDescriptor: ~Copyable, Sendable {
    package let raw: Int32

    package init(taking raw: Int32) {
        self.raw = raw
    }

    deinit {
        _ = Glibc.close(raw)
    }

    /// Closes the descriptor and throws the error of close(2), which on some file systems is the
    /// first to report a failed write.
    package consuming func close() throws(SystemError) {
        let raw = raw
        discard self
        if Glibc.close(raw) != 0 { throw SystemError("close") }
    }

    /// Releases the descriptor to the caller, who closes it.
    package consuming func release() -> Int32 {
        let raw = raw
        discard self
        return raw
    }

    /// Opens a file. open(2); `O_CLOEXEC` is always added.
    package static func open(
        _ path: String, _ flags: Int32, mode: mode_t = 0o600
    ) throws(SystemError) -> OwnedDescriptor {
        let raw = try check("open", path) { Glibc.open(path, flags | O_CLOEXEC, mode) }
        return OwnedDescriptor(taking: raw)
    }

    /// A pipe's two ends, neither inherited by children. pipe2(2).
    package static func pipe() throws(SystemError) -> Pair {
        var ends: [Int32] = [-1, -1]
        try check("pipe2") { gs3_pipe(&ends) }
        return Pair(
            first: OwnedDescriptor(taking: ends[0]), second: OwnedDescriptor(taking: ends[1]))
    }

    /// Two connected Unix stream sockets. socketpair(2).
    package static func socketPair() throws(SystemError) -> Pair {
        var ends: [Int32] = [-1, -1]
        try check("socketpair") { gs3_socketpair(&ends) }
        return Pair(
            first: OwnedDescriptor(taking: ends[0]), second: OwnedDescriptor(taking: ends[1]))
    }

    /// Two descriptors created together; `first` is the reading end of a pipe.
    package struct Pair: ~Copyable {
        package let first: OwnedDescriptor
        package let second: OwnedDescriptor

        /// Closes the second and returns the first.
        package consuming func keepingFirst() -> OwnedDescriptor { first }

        /// Closes the first and returns the second.
        package consuming func keepingSecond() -> OwnedDescriptor { second }

        /// Releases both to the caller, who closes them.
        package consuming func release() -> (first: Int32, second: Int32) {
            (first.release(), second.release())
        }
    }
}

/// Reads once. read(2).
///
/// - Returns: the number of bytes read; 0 at the end.
package func readSome(
    _ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer
) throws(SystemError) -> Int {
    try check("read") { Glibc.read(descriptor, buffer.baseAddress, buffer.count) }
}

/// Writes all of the bytes. write(2).
///
/// - Parameter subject: the name of the file, for an error.
package func writeAll(
    _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, _ subject: @autoclosure () -> String = ""
) throws(SystemError) {
    var rest = bytes
    while let base = rest.baseAddress, !rest.isEmpty {
        let count = rest.count
        let written = try check("write", subject()) { Glibc.write(descriptor, base, count) }
        rest = UnsafeRawBufferPointer(rebasing: rest[written...])
    }
}

/// Writes all of the bytes. write(2).
package func writeAll(
    _ descriptor: Int32, _ bytes: [UInt8], _ subject: @autoclosure () -> String = ""
) throws(SystemError) {
    try bytes.withBytes { (buffer) throws(SystemError) in
        try writeAll(descriptor, buffer, subject())
    }
}
