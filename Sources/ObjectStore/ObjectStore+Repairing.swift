/// An object whose key is the SHA-256 of its bytes. Only such objects may be overwritten to repair
/// them, since any other bytes at that key are damage.
package enum ContentAddressedObject: Sendable {
    case pack(ObjectBody)
    case manifest(ObjectBody)

    /// The write that stores it, which derives the key from the body.
    fileprivate var write: ObjectWrite {
        switch self {
        case .pack(let body): .pack(body)
        case .manifest(let body): .manifest(body)
        }
    }
}

/// The current contents of the key of an object to replace.
package enum DamageSeen: Hashable, Sendable {
    case missing
    /// Bytes that do not match the key, with the ETag of the answer that contained them.
    case damaged(ETag)
}

/// The outcome of a replacement according to the store. In any case the object is read again.
package enum Replacement: Hashable, Sendable {
    case written
    /// Another writer wrote or removed the object in the meantime; nothing was written.
    case overtaken
}

extension ObjectStore {
    /// Replaces a damaged or missing object with the right bytes: with If-Match the ETag under
    /// which the damage was read, or create-only if the object is missing. Nothing else in this
    /// program overwrites an immutable object.
    ///
    /// It can be repeated: if the answer to a write was lost, its repetition is
    /// ``Replacement/overtaken``, and the next read finds the object undamaged.
    package func replace(
        _ object: ContentAddressedObject, seen: DamageSeen
    ) throws(StoreError) -> Replacement {
        let condition: PutCondition =
            switch seen {
            case .missing: .ifAbsent
            case .damaged(let etag): .ifMatch(etag)
            }
        let write = object.write
        let request = StoreRequest.put(write.body, at: write.key, condition)
        switch try performRepeatedly(request) {
        case .stored: return .written
        case .notStored(.conditionFailed), .notStored(.absent): return .overtaken
        case .notStored(.conflict):
            throw .unavailable(
                .init(request), .init(status: 409, code: "ConditionalRequestConflict"))
        case let other: throw unexpected(other, to: request)
        }
    }
}
