package import Bytes

/// An object to download into a local file.
package struct Download: Sendable {
    package let key: ObjectKey
    /// The digest that the bytes must have; nil for a derived object, which the caller verifies.
    package let digest: Digest?
    /// The path of the file.
    package let path: String

    package init(key: ObjectKey, digest: Digest?, path: String) {
        self.key = key
        self.digest = digest
        self.path = path
    }
}

extension ObjectStore {
    /// Reads an object into memory; nil if it does not exist.
    ///
    /// - Parameter limit: bytes. A larger object is an error.
    package func get(_ key: ObjectKey, limit: Int) throws(StoreError) -> StoredObject? {
        let request = StoreRequest.get(key, into: .memory(limit: limit))
        switch try performRepeatedly(request) {
        case .found(let object): return object
        case .absent: return nil
        case let other: throw unexpected(other, to: request)
        }
    }

    /// Reads an immutable object into memory, and checks that its bytes have the digest in its key.
    ///
    /// - Throws: ``StoreError/missing(_:)`` if it does not exist, ``StoreError/corrupt(_:reason:)``
    ///   if its digest differs.
    package func getVerified(
        _ key: ObjectKey, digest: Digest, limit: Int
    ) throws(StoreError) -> [UInt8] {
        guard let object = try get(key, limit: limit) else { throw .missing(key) }
        guard object.digest == digest else { throw Self.mismatch(key, object.digest) }
        return object.bytes
    }

    /// Reads an object and returns only its size, SHA-256 and ETag; nil if it does not exist.
    package func inspect(_ key: ObjectKey) throws(StoreError) -> StoredObject? {
        let request = StoreRequest.get(key, into: .nowhere)
        switch try performRepeatedly(request) {
        case .found(let object): return object
        case .absent: return nil
        case let other: throw unexpected(other, to: request)
        }
    }

    /// Downloads objects into files, in parallel.
    ///
    /// - Returns: for each download, whether the object exists.
    /// - Throws: the first failure; ``StoreError/corrupt(_:reason:)`` if bytes do not have their
    ///   digest.
    package func download(_ downloads: [Download]) throws(StoreError) -> [Bool] {
        let requests = downloads.map { StoreRequest.get($0.key, into: .file($0.path)) }
        let results = performRepeatedly(requests)
        var found: [Bool] = []
        for (index, result) in results.enumerated() {
            let download = downloads[index]
            switch try result.get() {
            case .found(let object):
                if let digest = download.digest, object.digest != digest {
                    throw Self.mismatch(download.key, object.digest)
                }
                found.append(true)
            case .absent: found.append(false)
            case let other: throw unexpected(other, to: requests[index])
            }
        }
        return found
    }

    private static func mismatch(_ key: ObjectKey, _ found: Digest?) -> StoreError {
        .corrupt(key, reason: "its SHA-256 is \(found?.hex ?? "unknown")")
    }
}
