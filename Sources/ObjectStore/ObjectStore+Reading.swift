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

extension ObjectStore {
    /// Reads several objects into memory, in parallel; nil for each that does not exist.
    ///
    /// - Parameter limit: bytes of one object. A larger one is an error.
    /// - Returns: one result for each, in order.
    package func get(_ keys: [ObjectKey], limit: Int) -> [Result<StoredObject?, StoreError>] {
        finding(keys.map { .get($0, into: .memory(limit: limit)) })
    }

    /// Looks up several objects, in parallel; nil for each that does not exist. S3 HeadObject.
    ///
    /// - Returns: one result for each, in order.
    package func head(_ keys: [ObjectKey]) -> [Result<StoredObject?, StoreError>] {
        finding(keys.map { .head($0) })
    }

    private func finding(_ requests: [StoreRequest]) -> [Result<StoredObject?, StoreError>] {
        zip(requests, performRepeatedly(requests)).map { request, result in
            result.flatMap { answer in
                switch answer {
                case .found(let object): .success(object)
                case .absent: .success(nil)
                default: .failure(unexpected(answer, to: request))
                }
            }
        }
    }
}

extension ObjectStore {
    /// Performs requests that can be repeated safely, and repeats those that failed temporarily.
    ///
    /// Reads, and writes of derived and content-addressed objects, are such requests. A pointer
    /// write is not (``advancePointer(of:expecting:to:lineage:)``).
    package func performRepeatedly(
        _ requests: [StoreRequest]
    ) -> [Result<StoreAnswer, StoreError>] {
        var results = perform(requests)
        var repetition = 1
        while repetition < retryPolicy.attempts {
            let failed = results.indices.filter { index in
                switch results[index] {
                case .failure(let error): error.isTransient
                // 409 to a create: another writer is creating the same key.
                case .success(.notStored(.conflict)): true
                case .success: false
                }
            }
            if failed.isEmpty { break }
            retryPolicy.pause(before: repetition)
            for (index, result) in zip(failed, perform(failed.map { requests[$0] })) {
                results[index] = result
            }
            repetition += 1
        }
        return results
    }

    /// Performs one such request.
    package func performRepeatedly(
        _ request: StoreRequest
    ) throws(StoreError) -> StoreAnswer {
        guard let result = performRepeatedly([request]).first else {
            throw .nonConforming(StoreError.Attempt(request), reason: "no result")
        }
        return try result.get()
    }

    /// Creates the error for an answer of a kind that the request cannot have.
    func unexpected(_ answer: StoreAnswer, to request: StoreRequest) -> StoreError {
        .nonConforming(StoreError.Attempt(request), reason: "unexpected answer \(answer)")
    }
}
