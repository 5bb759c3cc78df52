import Bytes
import Glibc
import Posix

extension FileStore {
    func head(_ key: ObjectKey) throws(StoreError) -> StoreAnswer {
        let status: FileStatus?
        do {
            status = try FileStatus(of: path(of: key))
            if status == nil { try checkRoot() }
        } catch {
            throw .local(.init(.head, key.path), error)
        }
        guard let status else { return .absent }
        guard status.isRegular else { throw .corrupt(key, reason: Self.notRegular) }
        return .found(StoredObject(size: status.size, digest: nil, etag: status.etag))
    }

    /// Reads an object. Its body and ETag come from one open file, which writers no longer change.
    func get(_ key: ObjectKey, into destination: Destination) throws(StoreError) -> StoreAnswer {
        let opened: Opened
        do {
            guard let found = try open(key) else { return .absent }
            opened = found
        } catch {
            throw .local(.init(.get, key.path), error)
        }
        guard opened.status.isRegular else { throw .corrupt(key, reason: Self.notRegular) }
        if case .memory(let limit) = destination, opened.status.size > Int64(limit) {
            throw .tooLarge(key, limit: limit)
        }
        let object: StoredObject
        do {
            object = try read(opened, into: destination)
        } catch {
            throw .local(.init(.get, key.path), error)
        }
        guard object.size == opened.status.size else {
            throw .corrupt(
                key, reason: "read \(object.size) of \(opened.status.size) bytes")
        }
        return .found(object)
    }

    private static var notRegular: String { "it is not a regular file" }

    private struct Opened: ~Copyable {
        let file: OwnedDescriptor
        let path: String
        let status: FileStatus
    }

    /// Opens an object; nil if it does not exist.
    private func open(_ key: ObjectKey) throws(SystemError) -> Opened? {
        let path = path(of: key)
        // Opening must not block on something that is not a regular file.
        let raw = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if raw == -1 {
            let error = SystemError("open", path)
            guard error.code == ENOENT || error.code == ENOTDIR else { throw error }
            try checkRoot()
            return nil
        }
        let file = OwnedDescriptor(taking: raw)
        let status = try FileStatus(raw, path)
        return Opened(file: file, path: path, status: status)
    }

    private func read(
        _ opened: borrowing Opened, into destination: Destination
    ) throws(SystemError) -> StoredObject {
        let etag = opened.status.etag
        switch destination {
        case .memory:
            var bytes: [UInt8] = []
            bytes.reserveCapacity(Int(opened.status.size))
            let copied = try FileDigest(reading: opened.file.raw) { (chunk) throws(SystemError) in
                bytes.append(contentsOf: chunk)
            }
            return StoredObject(
                bytes: bytes, size: copied.size, digest: copied.digest, etag: etag)
        case .nowhere:
            let read = try FileDigest(reading: opened.file.raw)
            return StoredObject(size: read.size, digest: read.digest, etag: etag)
        case .file(let path):
            let target = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
            let raw = target.raw
            let copied = try FileDigest(reading: opened.file.raw) { (chunk) throws(SystemError) in
                try writeAll(raw, chunk, path)
            }
            try target.close()
            return StoredObject(size: copied.size, digest: copied.digest, etag: etag)
        }
    }
}
