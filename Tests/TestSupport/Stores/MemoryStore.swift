import Bytes
package import ObjectStore
import Posix
import Synchronization

/// A conforming store in memory, which counts its requests.
package final class MemoryStore: ObjectStore {
    package let location: String
    package let retryPolicy: RetryPolicy

    /// Requests by kind.
    package struct Counts: Equatable, Sendable {
        package var gets = 0
        package var heads = 0
        package var puts = 0
        package var deletes = 0
        package var lists = 0

        package init(gets: Int = 0, heads: Int = 0, puts: Int = 0, deletes: Int = 0, lists: Int = 0)
        {
            self.gets = gets
            self.heads = heads
            self.puts = puts
            self.deletes = deletes
            self.lists = lists
        }
    }

    private struct Object {
        var bytes: [UInt8]
        var digest: Digest
        var etag: ETag
    }

    private struct State {
        var objects: [String: Object] = [:]
        var counts = Counts()
        var serial = 0
    }

    private let state = Mutex(State())

    package init(
        location: String = "memory:" + Hex.random(bytes: 4),
        retryPolicy: RetryPolicy = RetryPolicy(attempts: 4, base: .microseconds(10))
    ) {
        self.location = location
        self.retryPolicy = retryPolicy
    }

    /// It stores the hash that a PUT carries, and returns it.
    package var dialect: Dialect { .keepsSHA256 }

    package var counts: Counts { state.withLock { $0.counts } }

    package func resetCounts() {
        state.withLock { $0.counts = Counts() }
    }

    /// Every key, in byte order.
    package var keys: [String] {
        state.withLock { $0.objects.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) } }
    }

    /// The bytes stored at a key, without any faults; for assertions.
    package func bytes(at key: ObjectKey) -> [UInt8]? {
        state.withLock { $0.objects[key.path]?.bytes }
    }

    /// Stores any bytes at any key, to simulate damage.
    package func plant(_ bytes: [UInt8]?, at key: ObjectKey) {
        state.withLock { state in
            guard let bytes else {
                state.objects[key.path] = nil
                return
            }
            state.serial += 1
            state.objects[key.path] = Object(
                bytes: bytes, digest: Digest(of: bytes), etag: Self.etag(state.serial))
        }
    }

    package func perform(_ requests: [StoreRequest]) -> [Result<StoreAnswer, StoreError>] {
        requests.map { request in
            StoreMeter.countRequest()
            return Result { () throws(StoreError) in
                switch request {
                case .get(let key, let destination): try get(key, into: destination)
                case .head(let key): head(key)
                case .put(let body, let key, let condition): try put(body, at: key, condition)
                case .delete(let key): delete(key)
                }
            }
        }
    }

    package func list(
        prefix: String, startingAfter: String?
    ) throws(StoreError) -> [ListedObject] {
        state.withLock { state in
            state.counts.lists += 1
            let keys = state.objects.keys.filter { key in
                key.utf8.starts(with: prefix.utf8)
                    && (startingAfter.map { $0.utf8.lexicographicallyPrecedes(key.utf8) } ?? true)
            }
            return keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }.prefix(1000).map {
                ListedObject(key: $0, size: Int64(state.objects[$0]?.bytes.count ?? 0))
            }
        }
    }

    private static func etag(_ serial: Int) -> ETag {
        guard let etag = ETag("\"m\(serial)\"") else { preconditionFailure("a tag is a tag") }
        return etag
    }

    private func head(_ key: ObjectKey) -> StoreAnswer {
        state.withLock { state in
            state.counts.heads += 1
            guard let object = state.objects[key.path] else { return .absent }
            return .found(
                StoredObject(
                    size: Int64(object.bytes.count), digest: nil, etag: object.etag,
                    storedChecksum: object.digest))
        }
    }

    private func get(
        _ key: ObjectKey, into destination: Destination
    ) throws(StoreError) -> StoreAnswer {
        let object = state.withLock { state in
            state.counts.gets += 1
            return state.objects[key.path]
        }
        guard let object else { return .absent }
        var found = StoredObject(
            size: Int64(object.bytes.count), digest: Digest(of: object.bytes), etag: object.etag)
        switch destination {
        case .nowhere: break
        case .memory(let limit):
            guard object.bytes.count <= limit else { throw .tooLarge(key, limit: limit) }
            found.bytes = object.bytes
        case .file(let path):
            do {
                try Files.write(object.bytes, to: path)
            } catch {
                throw .local(.init(.get, key.path), error)
            }
        }
        return .found(found)
    }

    private func put(
        _ body: ObjectBody, at key: ObjectKey, _ condition: PutCondition
    ) throws(StoreError) -> StoreAnswer {
        let bytes: [UInt8]
        switch body {
        case .bytes(let given, _): bytes = given
        case .file(let path, _, _):
            do {
                bytes = try Files.read(path)
            } catch {
                throw .local(.init(.put, key.path), error)
            }
        }
        let digest = Digest(of: bytes)
        return state.withLock { state in
            state.counts.puts += 1
            let current = state.objects[key.path]
            switch condition {
            case .always: break
            case .ifAbsent: if current != nil { return .notStored(.conditionFailed) }
            case .ifMatch(let expected):
                guard let current else { return .notStored(.absent) }
                if current.etag != expected { return .notStored(.conditionFailed) }
            }
            state.serial += 1
            let etag = Self.etag(state.serial)
            state.objects[key.path] = Object(bytes: bytes, digest: digest, etag: etag)
            return .stored(etag)
        }
    }

    private func delete(_ key: ObjectKey) -> StoreAnswer {
        state.withLock { state in
            state.counts.deletes += 1
            return state.objects.removeValue(forKey: key.path) == nil ? .absent : .deleted
        }
    }
}
