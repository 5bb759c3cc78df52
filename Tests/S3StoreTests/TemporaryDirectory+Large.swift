import Bytes
import Glibc
import Posix
import TestSupport

extension TemporaryDirectory {
    /// Writes a file that does not compress, piece by piece.
    ///
    /// - Returns: its digest.
    func writeLarge(_ name: String, bytes: Int64, seed: UInt64 = 1) throws -> Digest {
        let file = try OwnedDescriptor.open("\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC)
        var generator = SplitMix(state: seed)
        var hasher = SHA256()
        var piece = [UInt64](repeating: 0, count: 1 << 17)
        var left = Int(bytes)
        while left > 0 {
            for index in piece.indices { piece[index] = generator.next() }
            try piece.withUnsafeBytes { buffer in
                let part = UnsafeRawBufferPointer(rebasing: buffer.prefix(left))
                hasher.update(part)
                try writeAll(file.raw, part)
                left -= part.count
            }
        }
        try file.close()
        return hasher.finish()
    }
}
