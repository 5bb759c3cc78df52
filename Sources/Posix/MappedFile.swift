import Glibc

/// A file's bytes, mapped into memory while this value exists. mmap(2).
///
/// Only for files that nobody truncates in the meantime: those under a claim or in a workspace.
package struct MappedFile: ~Copyable {
    package let bytes: UnsafeRawBufferPointer

    /// - Throws: ``SystemError``; an empty file is EINVAL.
    package init(
        _ path: String, _ flags: Int32 = O_RDONLY | O_NOFOLLOW
    ) throws(SystemError) {
        let file = try OwnedDescriptor.open(path, flags | O_NONBLOCK)
        var status = stat()
        try check("fstat", path) { fstat(file.raw, &status) }
        let size = Int(status.st_size)
        guard size > 0, let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, file.raw, 0),
            start != MAP_FAILED
        else { throw SystemError("mmap", path, code: size > 0 ? errno : EINVAL) }
        bytes = UnsafeRawBufferPointer(start: start, count: size)
    }

    deinit {
        munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
    }

    /// A number in network order; nil beyond the end.
    package borrowing func number(at offset: Int, bytes count: Int) -> Int? {
        guard offset >= 0, count <= 8, offset <= bytes.count - count else { return nil }
        return bytes[offset..<offset + count].reduce(0) { $0 << 8 | Int($1) }
    }
}
