import Bytes
package import GitProtocol
import Glibc
package import Posix

/// The ids of a pack's objects in the order of its index. The file is mapped, so a large one needs
/// no memory of its own. gitformat-pack(5).
package struct PackObjects: ~Copyable {
    package let count: Int
    private let map: UnsafeRawBufferPointer
    private let first: UnsafeRawPointer
    /// The distance between two ids, and the length of one, in bytes.
    private let stride: Int
    private let length: Int

    /// Opens an index; nil if it is not one, or is shorter than it claims.
    package init?(inIndex path: String, format: ObjectFormat) throws(SystemError) {
        let file = try OwnedDescriptor.open(path, O_RDONLY)
        let size = try Files.size(of: path).map(Int.init) ?? 0
        let header = 8
        let fanout = 256 * 4
        guard size >= header + fanout,
            let base = mmap(nil, size, PROT_READ, MAP_PRIVATE, file.raw, 0), base != MAP_FAILED
        else { return nil }
        let map = UnsafeRawBufferPointer(start: base, count: size)
        func number(at offset: Int) -> UInt32 {
            map.loadUnaligned(fromByteOffset: offset, as: UInt32.self).bigEndian
        }
        let length = format.rawLength
        let isVersion1 = number(at: 0) != 0xff74_4f63
        let table = (isVersion1 ? 0 : header) + fanout
        // In version 1 each id follows its offset.
        let stride = isVersion1 ? 4 + length : length
        let count = Int(number(at: table - 4))
        guard isVersion1 || number(at: 4) == 2, table + count * stride <= size else {
            munmap(base, size)
            return nil
        }
        self.map = map
        self.length = length
        self.stride = stride
        self.count = count
        first = UnsafeRawPointer(base) + table + (isVersion1 ? 4 : 0)
    }

    deinit {
        munmap(UnsafeMutableRawPointer(mutating: map.baseAddress), map.count)
    }

    /// Compares the id at a position with one of another pack: negative, zero, positive.
    package func order(_ position: Int, _ other: borrowing PackObjects, _ otherPosition: Int)
        -> Int32
    {
        memcmp(pointer(position), other.pointer(otherPosition), length)
    }

    /// Whether an object is in the pack.
    package func contains(_ id: ObjectID) -> Bool {
        let raw = id.raw
        guard raw.count == length else { return false }
        return raw.withUnsafeBytes { wanted in
            var low = 0
            var high = count
            while low < high {
                let middle = (low + high) / 2
                let order = wanted.baseAddress.map { memcmp(pointer(middle), $0, length) } ?? 0
                if order == 0 { return true }
                if order < 0 { low = middle + 1 } else { high = middle }
            }
            return false
        }
    }

    /// The id at a position; nil if the position is out of range.
    package subscript(position: Int) -> ObjectID? {
        guard (0..<count).contains(position) else { return nil }
        let raw = UnsafeRawBufferPointer(start: pointer(position), count: length)
        return ObjectID(raw.flatMap(Hex.digits))
    }

    private func pointer(_ position: Int) -> UnsafeRawPointer { first + position * stride }
}
