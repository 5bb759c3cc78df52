package import Bytes

/// An object that a push stores before the swap.
package enum ObjectWrite: Sendable {
    /// `packs/<sha256>`, create-only.
    case pack(ObjectBody)
    /// `manifests/<sha256>`, create-only.
    case manifest(ObjectBody)
    /// `packs/<sha256>.idx` of the given pack: derived, written unconditionally.
    case packIndex(of: Digest, ObjectBody)
    /// `packs/<sha256>.bitmap` of the given pack: derived, written unconditionally.
    case packBitmap(of: Digest, ObjectBody)
    /// `packs/<sha256>.graph` of the given pack: derived, written unconditionally.
    case commitGraph(of: Digest, ObjectBody)

    /// The key. That of an immutable object is derived from its bytes here and nowhere else.
    package var key: ObjectKey {
        switch self {
        case .pack(let body): .pack(body.digest)
        case .manifest(let body): .manifest(body.digest)
        case .packIndex(let pack, _): .packIndex(pack)
        case .packBitmap(let pack, _): .packBitmap(pack)
        case .commitGraph(let pack, _): .commitGraph(pack)
        }
    }

    package var body: ObjectBody {
        switch self {
        case .pack(let body), .manifest(let body), .packIndex(_, let body),
            .packBitmap(_, let body), .commitGraph(_, let body):
            body
        }
    }

    fileprivate var condition: PutCondition {
        switch self {
        case .pack, .manifest: .ifAbsent
        case .packIndex, .packBitmap, .commitGraph: .always
        }
    }
}

/// The result of a create.
enum CreateResult: Sendable {
    case created(ETag?)
    case present
    /// 409: another writer was creating the same key.
    case conflict
}

/// Whether a repeatable write is repeated after a failure.
enum Repetition: Sendable { case never, transientFailures }

extension ObjectStore {
    /// Writes objects in parallel. All are durable when it returns.
    ///
    /// An existing content-addressed object is accepted once its contents are verified: if the
    /// backend keeps no checksum, it is read and hashed.
    ///
    /// - Throws: the first failure. Other objects may have been written, which is harmless.
    package func write(_ writes: [ObjectWrite]) throws(StoreError) {
        let results = create(writes.map { ($0.body, $0.key, $0.condition) })
        for (write, result) in zip(writes, results) {
            switch try result.get() {
            case .created: break
            case .present: try checkPresent(write)
            case .conflict:
                throw .unavailable(
                    .init(.put, write.key.path),
                    .init(status: 409, code: "ConditionalRequestConflict"))
            }
        }
    }

    /// Writes bodies to keys, each create-only or unconditionally. This is the only way to create
    /// immutable objects; the conformance probe races it with `repeating` off.
    func create(
        _ objects: [(body: ObjectBody, key: ObjectKey, condition: PutCondition)],
        repeating: Repetition = .transientFailures
    ) -> [Result<CreateResult, StoreError>] {
        let requests = objects.map { StoreRequest.put($0.body, at: $0.key, $0.condition) }
        let results =
            switch repeating {
            case .never: perform(requests)
            case .transientFailures: performRepeatedly(requests)
            }
        return zip(requests, results).map { request, result in
            result.flatMap { answer in
                switch answer {
                case .stored(let etag): .success(.created(etag))
                case .notStored(.conditionFailed): .success(.present)
                case .notStored(.conflict): .success(.conflict)
                default: .failure(unexpected(answer, to: request))
                }
            }
        }
    }

    /// Verifies the contents of an existing object: by the SHA-256 that the backend checked and
    /// keeps, or by reading and hashing all of it. Its size alone would accept an object that was
    /// damaged when it was written.
    private func checkPresent(_ write: ObjectWrite) throws(StoreError) {
        if dialect.contains(.keepsSHA256) {
            let request = StoreRequest.head(write.key)
            guard case .found(let kept) = try performRepeatedly(request) else {
                throw Self.vanished(.init(request))
            }
            try expectSize(kept, of: write)
            // An object that was sent in parts has no checksum, or a hash of hashes, which not
            // every backend marks as such. So only the bytes prove that an object is damaged.
            if kept.storedChecksum == write.body.digest { return }
        }
        guard let stored = try inspect(write.key) else {
            throw Self.vanished(.init(.get, write.key.path))
        }
        try expectSize(stored, of: write)
        guard stored.digest == write.body.digest else {
            throw .corrupt(
                write.key, reason: "its SHA-256 is \(stored.digest?.hex ?? "unknown")")
        }
    }

    private func expectSize(_ object: StoredObject, of write: ObjectWrite) throws(StoreError) {
        guard object.size == write.body.size else {
            throw .corrupt(
                write.key, reason: "it has \(object.size) bytes, not \(write.body.size)")
        }
    }

    private static func vanished(_ attempt: StoreError.Attempt) -> StoreError {
        .nonConforming(
            attempt,
            reason: "a create reported that it exists, but a lookup found nothing")
    }
}
