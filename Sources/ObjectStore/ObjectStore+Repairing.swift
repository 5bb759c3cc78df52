/// An object whose key is the SHA-256 of its bytes: the only kind that may be overwritten to repair
/// it, since whatever else is at that key is damage.
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

/// What was found at the key of an object that is to be replaced.
package enum DamageSeen: Hashable, Sendable {
    case missing
    /// Other bytes than the key says, with the ETag of the answer that brought them.
    case damaged(ETag)
}

/// How a replacement ended, as far as the store says. Either way the object is to be read again.
package enum Replacement: Hashable, Sendable {
    case written
    /// Somebody else wrote or removed the object in the meantime; nothing was written.
    case overtaken
}

extension ObjectStore {
    /// Puts the right bytes in the place of a damaged or missing object: If-Match the ETag under
    /// which the damage was read, create-only if the object is missing. Nothing else in this program
    /// overwrites an immutable object.
    ///
    /// It may be repeated: a write whose answer was lost makes its repetition ``Replacement/overtaken``,
    /// and the next read finds the object good.
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
