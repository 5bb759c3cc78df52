import Bytes
import Git
import Glibc
import ObjectStore
import Posix

/// The condition of an object when it was read.
enum ObjectCondition {
    case good
    case missing
    /// - etag: nil if the answer had no strong one.
    case damaged(etag: ETag?, reason: String)

    /// nil if the object is good.
    var fault: RepairFinding.Fault? {
        switch self {
        case .good: nil
        case .missing: .missing
        case .damaged(_, let reason): .damaged(reason: reason)
        }
    }
}

extension ObjectStore {
    /// Reads an immutable object, and returns whether its bytes have the digest in its key.
    ///
    /// - Throws: an error that says nothing about the object: no answer, no permission, no room.
    func condition(
        of key: ObjectKey, _ digest: Digest, into destination: Destination = .nowhere
    ) throws(StoreError) -> ObjectCondition {
        do throws(StoreError) {
            switch try performRepeatedly(.get(key, into: destination)) {
            case .found(let object) where object.digest == digest: return .good
            case .found(let object):
                return .damaged(
                    etag: object.etag, reason: "its SHA-256 is \(object.digest?.hex ?? "unknown")")
            case .absent: return .missing
            case let other:
                throw .nonConforming(.init(.get, key.path), reason: "unexpected answer \(other)")
            }
        } catch {
            switch error {
            case .corrupt(_, let reason): return .damaged(etag: nil, reason: reason)
            case .local(_, let cause) where cause.code == EIO:
                // A file store's disk may have lost a sector of the object.
                if case .nowhere = destination {
                    return .damaged(etag: try etag(of: key), reason: "\(cause)")
                }
                let condition = try condition(of: key, digest)
                // Or the disk that the object was to be written to has failed.
                guard case .damaged = condition else { throw error }
                return condition
            default: throw error
            }
        }
    }

    private func etag(of key: ObjectKey) throws(StoreError) -> ETag? {
        try head([key]).first?.get()?.etag
    }
}

extension Repair {
    static var noCopy: String { "no good copy was found" }

    /// The number of rounds of overwriting and reading again.
    private static let attempts = 3

    func look(
        at key: ObjectKey, _ digest: Digest, into destination: Destination
    ) throws(StoreError) -> ObjectCondition {
        try store.condition(of: key, digest, into: destination)
    }

    /// Overwrites a damaged or missing object, and reads it again, because only that proves that it
    /// is good.
    ///
    /// - Parameter condition: the result of the last read, on which the write is conditional.
    func rewrite(
        _ object: ContentAddressedObject, at key: ObjectKey, _ digest: Digest,
        _ condition: ObjectCondition, from copy: String
    ) throws(StoreError) -> RepairFinding.Remedy {
        if mode == .check { return .repairable(from: copy) }
        progress.begin("rewriting '\(key)'")
        var condition = condition
        for _ in 0..<Self.attempts {
            let seen: DamageSeen
            switch condition {
            case .good: return .repairedElsewhere
            case .missing: seen = .missing
            case .damaged(let etag?, _): seen = .damaged(etag)
            case .damaged(nil, _):
                return .none(reason: "the store returned no ETag, which is needed to overwrite it")
            }
            let replacement: Replacement
            do throws(StoreError) {
                replacement = try store.replace(object, seen: seen)
            } catch {
                switch error {
                // The next read shows the outcome.
                case .altered: replacement = .written
                // This concerns only this object: S3 refuses to overwrite more than 5 GiB at once.
                case .rejected: return .none(reason: "\(error)")
                default: throw error
                }
            }
            condition = try look(at: key, digest, into: .nowhere)
            if case .good = condition {
                return replacement == .written ? .repaired(from: copy) : .repairedElsewhere
            }
        }
        return .none(reason: "it is still not good after \(Self.attempts) attempts")
    }
}
