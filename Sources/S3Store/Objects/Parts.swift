import Bytes
import ObjectStore
import Posix

/// The sizes by which large objects are divided.
struct PartSizes: Hashable, Sendable {
    /// Bytes. Larger bodies are sent in parts.
    var threshold: Int64
    /// Bytes of a part, and of a requested range.
    var part: Int64

    /// Bytes. S3 refuses parts below 5 MiB, except the last, and parts and single PUTs above 5 GiB.
    /// "Amazon S3 multipart upload limits".
    static let allowed: ClosedRange<Int64> = 5 << 20...5 << 30

    static let standard = PartSizes(threshold: 64 << 20, part: 16 << 20)
}

/// The parts of an upload. All except the last have the same size, which some backends require.
struct PartPlan: Hashable, Sendable {
    /// Bytes of the body.
    let size: Int64
    /// Bytes of each part except the last.
    let partSize: Int64

    /// The largest number of parts. "Amazon S3 multipart upload limits".
    static let mostParts: Int64 = 10_000

    /// Bytes of the largest object that can be divided this way.
    static let largest = mostParts * PartSizes.allowed.upperBound

    /// Divides a body into parts of `partSize`, or larger ones if they would be too many; nil for
    /// an empty body and for one that is larger than ``largest``.
    init?(size: Int64, partSize: Int64) {
        guard size > 0, size <= Self.largest else { return nil }
        let least = (size + Self.mostParts - 1) / Self.mostParts
        let mebibyte: Int64 = 1 << 20
        self.size = size
        self.partSize =
            least <= partSize ? partSize : (least + mebibyte - 1) / mebibyte * mebibyte
    }

    /// The number of parts.
    var count: Int { Int((size + partSize - 1) / partSize) }

    /// The bytes of a part. Parts are numbered from 0.
    func range(of part: Int) -> Range<Int64> {
        let start = Int64(part) * partSize
        return start..<min(start + partSize, size)
    }
}

/// The hashes of each part of a body, read in order, and the SHA-256 of all parts together.
///
/// A single PUT is signed with the body's digest, and the sent bytes are compared with it. Parts
/// are signed and compared one by one; the digest of all of them proves that together they are the
/// body.
struct PartDigests: ~Copyable {
    private let body: ObjectBody
    private let takesMD5: Bool
    private var whole = SHA256()

    /// The hashes of one part.
    struct Part: Sendable {
        let digest: Digest
        /// nil if it is not computed.
        let md5: [UInt8]?
    }

    init(of body: ObjectBody, takingMD5 takesMD5: Bool) {
        self.body = body
        self.takesMD5 = takesMD5
    }

    /// Reads the next part and computes its hashes.
    mutating func next(_ range: Range<Int64>) throws(SystemError) -> Part {
        let reader = try BodyReader(range, of: body)
        var part = SHA256()
        var md5: MD5? = takesMD5 ? MD5() : nil
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = try chunk.withMutableBytes { (buffer) throws(SystemError) in
                try reader.read(into: buffer)
            }
            if count == 0 { break }
            chunk.withUnsafeBytes { buffer in
                let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                part.update(bytes)
                whole.update(bytes)
                md5?.update(bytes)
            }
        }
        return Part(digest: part.finish(), md5: md5.take()?.finish())
    }

    /// The digest of all parts that were read.
    consuming func finish() -> Digest { whole.finish() }
}

/// The identifier of an upload.
struct UploadIdentifier: Hashable, Sendable {
    let text: String
}

/// The parts of an upload, all of which the backend has stored.
struct UploadParts: Sendable {
    let identifier: UploadIdentifier
    let parts: [Part]

    struct Part: Sendable {
        /// The ETag, exactly as the backend returned it.
        let etag: ETag
        let digest: Digest
    }
}

/// The parts of one upload while they are sent: S3 UploadPart, several at the same time. A part
/// that failed temporarily is sent again alone.
final class PartSending: Transfer {
    let identifier: UploadIdentifier
    private let store: S3Store
    private let body: ObjectBody
    private let object: ObjectKey
    private let plan: PartPlan
    private var hasher: PartDigests?
    /// The hashes of the parts that have been sent at least once.
    private var hashes: [PartDigests.Part] = []
    private var etags: [ETag?]
    private var underWay: [(exchange: Exchange, part: Int)] = []
    private var repetitions: [(part: Int, notBefore: ContinuousClock.Instant)] = []
    private var failures: [Int: Int] = [:]
    /// Why no more parts are sent.
    private var failure: StoreError?

    init(
        of body: ObjectBody, at object: ObjectKey, _ plan: PartPlan,
        _ identifier: UploadIdentifier, to store: S3Store
    ) {
        self.identifier = identifier
        self.store = store
        self.body = body
        self.object = object
        self.plan = plan
        hasher = PartDigests(of: body, takingMD5: store.partChecks.md5 == .sent)
        etags = Array(repeating: nil, count: plan.count)
    }

    /// Returns the sent parts, once all of them were sent.
    ///
    /// - Throws: the error that prevented parts from being sent;
    ///   ``StoreError/sourceChanged(_:reason:)`` if together they are not the intended body.
    func parts() throws(StoreError) -> UploadParts {
        if let failure { throw failure }
        let digest = hasher.take()?.finish()
        guard digest == body.digest else {
            throw .sourceChanged(of: body, at: object, found: digest)
        }
        let parts = zip(etags, hashes).compactMap { etag, hashes in
            etag.map { UploadParts.Part(etag: $0, digest: hashes.digest) }
        }
        precondition(parts.count == plan.count, "parts are missing")
        return UploadParts(identifier: identifier, parts: parts)
    }

    func next() -> NextStep {
        if failure == nil, let part = nextPart() {
            let piece = HTTPBody(plan.range(of: part), of: body, hashes[part])
            let exchange = Exchange(store.sending(piece, part, of: object, identifier))
            underWay.append((exchange, part))
            return .begin(exchange)
        }
        if let instant = repetitions.map(\.notBefore).min() { return .wait(until: instant) }
        return underWay.isEmpty ? .done : .idle
    }

    /// The part to send now, counted from 0; nil if there is none. Failed parts precede new ones.
    private func nextPart() -> Int? {
        let now = ContinuousClock.now
        if let index = repetitions.firstIndex(where: { $0.notBefore <= now }) {
            return repetitions.remove(at: index).part
        }
        let part = hashes.count
        guard part < plan.count else { return nil }
        do {
            guard let next = try hasher?.next(plan.range(of: part)) else { return nil }
            hashes.append(next)
            return part
        } catch {
            fail(.local(.init(.put, object.path), error))
            return nil
        }
    }

    func ended(_ exchange: Exchange) {
        guard let index = underWay.firstIndex(where: { $0.exchange === exchange }) else { return }
        let part = underWay.remove(at: index).part
        do throws(StoreError) {
            etags[part] = try etag(in: try exchange.result())
        } catch {
            retry(part, after: error)
        }
    }

    private func etag(in answer: HTTPAnswer) throws(StoreError) -> ETag {
        let attempt = StoreError.Attempt(.put, object.path)
        guard store.classification.isSuccess(answer) else {
            throw store.classification.error(attempt, answer)
        }
        guard let etag = answer.headers["etag"].flatMap({ ETag($0) }) else {
            throw .nonConforming(attempt, reason: "a part was stored without a strong ETag")
        }
        try store.compare(etag, with: answer, of: object)
        return etag
    }

    private func retry(_ part: Int, after error: StoreError) {
        let count = failures[part, default: 0] + 1
        failures[part] = count
        guard failure == nil, error.isTransient, count < store.retryPolicy.attempts else {
            return fail(error)
        }
        repetitions.append((part, .now + store.retryPolicy.wait(before: count)))
    }

    private func fail(_ error: StoreError) {
        if failure == nil { failure = error }
        repetitions = []
        for (exchange, _) in underWay { exchange.cancel() }
    }
}
