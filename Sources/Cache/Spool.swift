import Glibc
import Posix
import Synchronization

/// The disk space of spools, shared by all requests of a process.
package final class SpoolSpace: Sendable {
    /// The directory of their files, which have no names.
    let directory: @Sendable () throws -> String
    private let limit: Int64
    private let used = Mutex<Int64>(0)

    /// - Parameters:
    ///   - limit: the maximum size in bytes of all files together.
    ///   - directory: where to create them; it may be removed at any time.
    package init(limit: Int64, in directory: @escaping @Sendable () throws -> String) {
        self.limit = limit
        self.directory = directory
    }

    /// Reserves bytes. Returns whether there was room for them.
    fileprivate func reserve(_ bytes: Int64) -> Bool {
        used.withLock { used in
            guard used + bytes <= limit else { return false }
            used += bytes
            return true
        }
    }

    fileprivate func release(_ bytes: Int64) { used.withLock { $0 -= bytes } }
}

/// Bytes on their way from git to a client: git writes as fast as it can, and the client reads at its
/// own speed.
///
/// The first bytes are kept in memory, and further ones in a file without a name. If there is no
/// room for them, git waits until the client has read what was stored.
///
/// One thread writes, and one reads.
package final class Spool: @unchecked Sendable {
    /// The largest number of bytes in memory.
    private static let memoryLimit = 1 << 20

    // The variables are accessed with the monitor's lock held. The file is not: the writer accesses
    // it after `end`, and the reader before it.
    private let monitor = Monitor()
    private let space: SpoolSpace
    /// The bytes after `start`; the file has those that follow.
    private var memory: [UInt8] = []
    private var file: SpoolFile?
    /// Positions in the stream.
    private var start: Int64 = 0
    private var end: Int64 = 0
    private var position: Int64 = 0
    private var hasEnded = false
    private var isAbandoned = false

    /// The reader has abandoned the stream.
    package struct Abandoned: Error {}

    package init(in space: SpoolSpace) {
        self.space = space
    }

    /// Adds bytes.
    ///
    /// - Parameter wait: runs its argument, which waits until the reader has read everything, because
    ///   there is no room.
    /// - Throws: ``Abandoned``, or ``SystemError`` if the file cannot be written for another reason
    ///   than a full disk.
    package func append(
        _ bytes: UnsafeRawBufferPointer, wait: (() -> Void) throws -> Void
    ) throws {
        var rest = bytes
        while !rest.isEmpty {
            let taken = try appendToMemory(rest)
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(taken))
            if rest.isEmpty { return }
            if try appendToFile(rest) { return }
            try wait { self.waitForReader() }
        }
    }

    /// Adds all of the bytes, or none.
    ///
    /// - Returns: whether there was room for them.
    package func appendIfRoom(_ bytes: UnsafeRawBufferPointer) throws -> Bool {
        let fits = monitor.locked { file == nil && memory.count + bytes.count <= Self.memoryLimit }
        if fits { return try appendToMemory(bytes) == bytes.count }
        return try appendToFile(bytes)
    }

    /// Marks the end, or a failure after which the reader gets no more.
    package func finish() {
        monitor.locked {
            hasEnded = true
            monitor.notify()
        }
    }

    /// Makes the writer stop.
    package func abandon() {
        monitor.locked {
            isAbandoned = true
            monitor.notify()
        }
    }

    /// Reads bytes; blocks for at least one.
    ///
    /// - Returns: 0 at the end.
    /// - Throws: ``SystemError``.
    package func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let place = monitor.locked { () -> Place in
            monitor.wait { position < end || hasEnded || isAbandoned }
            return self.place(buffer)
        }
        let count: Int
        switch place {
        case .end: return 0
        case .copied(let copied): count = copied
        case .file(let file, let offset, let limit):
            count =
                try file?.read(
                    into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<limit]), at: offset)
                ?? 0
            // A shorter file must not look like the end of the stream.
            if count == 0 { throw SystemError("pread", "a spool", code: EIO) }
        }
        monitor.locked {
            position += Int64(count)
            if position == end { monitor.notify() }
        }
        return count
    }

    /// The place where the next bytes are stored.
    private enum Place {
        case end
        case copied(Int)
        case file(SpoolFile?, offset: Int64, limit: Int)
    }

    /// Called with the lock held.
    private func place(_ buffer: UnsafeMutableRawBufferPointer) -> Place {
        if position == end || isAbandoned { return .end }
        let offset = Int(position - start)
        if offset < memory.count {
            let count = min(buffer.count, memory.count - offset)
            buffer.copyBytes(from: memory[offset..<offset + count])
            return .copied(count)
        }
        return .file(
            file, offset: Int64(offset - memory.count),
            limit: min(buffer.count, Int(end - position)))
    }

    /// - Returns: the number of bytes for which there was room in memory.
    private func appendToMemory(_ bytes: UnsafeRawBufferPointer) throws -> Int {
        try monitor.locked {
            if isAbandoned { throw Abandoned() }
            if position == end {
                // The reader has kept up: the room can be used again.
                start = end
                memory.removeAll(keepingCapacity: true)
                file = nil
            }
            guard file == nil else { return 0 }
            let count = min(bytes.count, Self.memoryLimit - memory.count)
            memory.append(contentsOf: bytes[..<count])
            advance(by: count)
            return count
        }
    }

    /// - Returns: whether there was room in the file for all of the bytes.
    private func appendToFile(_ bytes: UnsafeRawBufferPointer) throws -> Bool {
        let offset = monitor.locked { end - start - Int64(memory.count) }
        guard let target = try file ?? SpoolFile(in: space),
            try target.write(bytes, at: offset)
        else { return false }
        monitor.locked {
            file = target
            advance(by: bytes.count)
        }
        return true
    }

    /// Called with the lock held.
    private func advance(by count: Int) {
        let wasEmpty = position == end
        end += Int64(count)
        if wasEmpty, count > 0 { monitor.notify() }
    }

    private func waitForReader() {
        monitor.locked { monitor.wait { position == end || isAbandoned } }
    }
}

/// An unlinked file, which counts against the space of spools. Not every file system has O_TMPFILE, of
/// open(2).
private final class SpoolFile {
    private let descriptor: OwnedDescriptor
    private let space: SpoolSpace
    private var reserved: Int64 = 0

    /// nil if the disk is full.
    init?(in space: SpoolSpace) throws {
        self.space = space
        let path = "\(try space.directory())/spool-\(UInt64.random(in: 0 ... .max))"
        do throws(SystemError) {
            descriptor = try OwnedDescriptor.open(path, O_RDWR | O_CREAT | O_EXCL)
        } catch {
            guard error.isFullDisk else { throw error }
            return nil
        }
        unlink(path)
    }

    deinit { space.release(reserved) }

    /// - Returns: false if there is no room.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws -> Bool {
        guard space.reserve(Int64(bytes.count)) else { return false }
        reserved += Int64(bytes.count)
        var written = 0
        while written < bytes.count {
            let raw = descriptor.raw
            let rest = UnsafeRawBufferPointer(rebasing: bytes[written...])
            do throws(SystemError) {
                written += try check("pwrite", "a spool") {
                    pwrite(raw, rest.baseAddress, rest.count, off_t(offset) + written)
                }
            } catch {
                guard error.isFullDisk else { throw error }
                return false
            }
        }
        return true
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws -> Int {
        let raw = descriptor.raw
        return try check("pread", "a spool") {
            pread(raw, buffer.baseAddress, buffer.count, off_t(offset))
        }
    }
}
