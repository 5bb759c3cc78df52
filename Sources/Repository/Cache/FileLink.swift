import Glibc
package import Posix

/// Gives a file a second name, or makes a copy of it where that cannot be.
package struct FileLink: Sendable {
    /// link(2); 0 or the error's number.
    let hardLink: @Sendable (_ source: String, _ target: String) -> Int32

    /// The system's own.
    package static let system = FileLink { source, target in
        link(source, target) == 0 ? 0 : errno
    }

    /// Puts the file at `source` at `target` as well, where nothing is yet.
    ///
    /// Another file system, another owner (`fs.protected_hardlinks`), too many links, or a file
    /// system without links: the target is a copy then.
    package func place(_ source: String, at target: String) throws(SystemError) {
        let code = hardLink(source, target)
        switch code {
        case 0: return
        case EXDEV, EPERM, EMLINK, EACCES, EOPNOTSUPP, ENOSYS:
            try Self.copy(source, to: target)
        default: throw SystemError("link", source, code: code)
        }
    }

    /// Bytes. Large enough that calls do not count.
    private static let chunkSize = 1 << 20

    private static func copy(_ source: String, to target: String) throws(SystemError) {
        // Not to hang on, or to follow, what is no file of ours.
        let reading = try OwnedDescriptor.open(source, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        let writing = try OwnedDescriptor.open(
            target, O_WRONLY | O_CREAT | O_EXCL, mode: 0o444)
        do {
            var chunk = [UInt8](repeating: 0, count: chunkSize)
            while true {
                let count = try chunk.withMutableBytes { (buffer) throws(SystemError) in
                    try readSome(reading.raw, into: buffer)
                }
                if count == 0 { break }
                try chunk.withBytes { (buffer) throws(SystemError) in
                    try writeAll(writing.raw, UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                }
            }
            try writing.close()
        } catch {
            unlink(target)
            throw SystemError(error.call, target, code: error.code)
        }
    }
}
