import Bytes
import Glibc
import ObjectStore
import Posix

/// A GET into a file. S3 GetObject with `Range` (RFC 9110 §14).
///
/// It begins by requesting the first range. The head of that answer has the size of the object; the
/// other ranges are then requested at the same time, each with the first answer's ETag. A range
/// that is interrupted is requested again from the byte where it ended. A backend that does not
/// support ranges sends the whole object at once.
final class RangedDownload: StoreTransfer {
    private let store: S3Store
    private let object: ObjectKey
    private let path: String
    private var state = State.fresh
    /// Created once it is known that there is something to write.
    private var file: DownloadFile?
    /// The ranges to request again.
    private var repetitions: [Piece] = []
    private var underWay: [Request] = []
    /// Why no more ranges are requested.
    private var failure: StoreError?
    /// The SHA-256, if a single answer had the whole object.
    private var digest: Digest?

    private enum State {
        case fresh
        /// The first request was sent, and nothing is known yet.
        case asking
        /// The object is empty, unless the backend is wrong: it is requested as a whole.
        case refusedRange
        /// One answer has the whole object: the request had no range, or the backend ignored it.
        case whole(StoredObject?)
        /// The object arrives in ranges; those from `next` on have not been requested yet.
        case ranges(Identity, next: Int64)
        case absent
    }

    /// The properties that all ranges must share.
    private struct Identity: Hashable {
        let etag: ETag
        /// The size of the object in bytes.
        let total: Int64
    }

    /// A range, and the number of times that it has failed.
    private struct Piece {
        var range: Range<Int64>
        var failures = 0
        var notBefore: ContinuousClock.Instant?
    }

    private final class Request {
        var piece: Piece
        var exchange: Exchange?
        var sink: DownloadSink?

        init(_ piece: Piece) { self.piece = piece }
    }

    init(of object: ObjectKey, into path: String, from store: S3Store) {
        self.store = store
        self.object = object
        self.path = path
    }

    private var attempt: StoreError.Attempt { .init(.get, object.path) }
    private var partSize: Int64 { store.target.partSizes.part }

    func conclude() throws(StoreError) -> StoreAnswer {
        if let failure { throw failure }
        switch state {
        case .absent: return .absent
        case .whole(let object?): return .found(object)
        case .ranges(let identity, _):
            let known = StoredObject(size: identity.total, digest: digest, etag: identity.etag)
            return .found(try digest == nil ? hashed(known) : known)
        case .fresh, .asking, .refusedRange, .whole(nil):
            preconditionFailure("the download has not ended")
        }
    }

    /// Adds the SHA-256 of an object that arrived in several answers.
    private func hashed(_ known: StoredObject) throws(StoreError) -> StoredObject {
        let read: FileDigest
        do {
            read = try FileDigest(of: path)
        } catch {
            throw .local(attempt, error)
        }
        guard read.size == known.size else {
            throw .local(attempt, SystemError("read", path, code: ENODATA))
        }
        var object = known
        object.digest = read.digest
        return object
    }
}

// The order of the requests.
extension RangedDownload {
    func next() -> NextStep {
        if failure != nil { return underWay.isEmpty ? .done : .idle }
        switch state {
        case .fresh:
            state = .asking
            return .begin(exchange(for: Piece(range: 0..<partSize)))
        case .refusedRange:
            state = .asking
            return .begin(exchange(for: Piece(range: 0..<0)))
        case .ranges(let identity, let next):
            if let piece = nextPiece(identity, next) { return .begin(exchange(for: piece)) }
            if let instant = repetitions.compactMap(\.notBefore).min() {
                return .wait(until: instant)
            }
            return underWay.isEmpty ? .done : .idle
        case .absent: return .done
        case .whole(let object): return object == nil ? .idle : .done
        case .asking: return .idle
        }
    }

    /// Returns the next range to request. Failed ranges precede new ones.
    private func nextPiece(_ identity: Identity, _ next: Int64) -> Piece? {
        let now = ContinuousClock.now
        if let index = repetitions.firstIndex(where: { ($0.notBefore ?? now) <= now }) {
            return repetitions.remove(at: index)
        }
        guard next < identity.total else { return nil }
        let end = min(next + partSize, identity.total)
        state = .ranges(identity, next: end)
        return Piece(range: next..<end)
    }

    /// - Parameter piece: an empty one for the whole object.
    private func exchange(for piece: Piece) -> Exchange {
        var get = store.request(.get, object, .get)
        if !piece.range.isEmpty {
            let last = piece.range.upperBound - 1
            get.headers = [("range", "bytes=\(piece.range.lowerBound)-\(last)")]
        }
        if case .ranges(let identity, _) = state {
            get.headers += store.conditionHeaders(.ifMatch(identity.etag))
        }
        let request = Request(piece)
        // Both belong to this transfer and are released when the exchange has ended.
        let exchange = Exchange(get) { [unowned self, unowned request] head throws(StoreError) in
            let sink = try place(request, head)
            request.sink = sink
            return sink
        }
        request.exchange = exchange
        underWay.append(request)
        return exchange
    }
}

// The head of an answer.
extension RangedDownload {
    private func place(_ request: Request, _ head: HTTPAnswer) throws(StoreError) -> DownloadSink {
        switch (state, head.status) {
        case (.asking, 200):
            state = .whole(nil)
            return DownloadSink(.file(try openFile(), offset: 0, limit: .max), .onTheWay)
        case (.asking, 206):
            return try placeFirst(request, head)
        case (.ranges(let identity, _), 206):
            return try placeFurther(request, identity, head)
        default:
            throw .nonConforming(
                attempt, reason: "status \(head.status) for a range request")
        }
    }

    private func placeFirst(
        _ request: Request, _ head: HTTPAnswer
    ) throws(StoreError) -> DownloadSink {
        let asked = request.piece.range
        let given = try contentRange(head)
        let wanted = 0..<min(asked.upperBound, given.total)
        guard !asked.isEmpty, given.range == wanted else { throw other(given) }
        guard let etag = head.headers["etag"].flatMap({ ETag($0) }) else {
            throw .nonConforming(attempt, reason: "a response without a strong ETag")
        }

        request.piece.range = wanted
        let file = try openFile()
        state = .ranges(Identity(etag: etag, total: given.total), next: wanted.upperBound)
        return DownloadSink(
            .file(file, offset: 0, limit: wanted.upperBound),
            wanted.upperBound == given.total ? .onTheWay : .none)
    }

    private func placeFurther(
        _ request: Request, _ identity: Identity, _ head: HTTPAnswer
    ) throws(StoreError) -> DownloadSink {
        let asked = request.piece.range
        let given = try contentRange(head)
        let etag = head.headers["etag"].flatMap { ETag($0) }
        guard let etag, Identity(etag: etag, total: given.total) == identity else {
            throw .nonConforming(
                attempt, reason: "a part of another object than If-Match requested")
        }
        guard given.range == asked, let file else { throw other(given) }
        let size = asked.upperBound - asked.lowerBound
        return DownloadSink(.file(file, offset: asked.lowerBound, limit: size), .none)
    }

    private func contentRange(_ head: HTTPAnswer) throws(StoreError) -> ContentRange {
        guard let range = head.headers["content-range"].flatMap({ ContentRange($0) }) else {
            throw .nonConforming(attempt, reason: "a part without a Content-Range")
        }
        return range
    }

    private func other(_ given: ContentRange) -> StoreError {
        .nonConforming(
            attempt,
            reason: "another range than requested: from byte \(given.range.lowerBound), "
                + "\(given.range.count) bytes of \(given.total)")
    }

    private func openFile() throws(StoreError) -> DownloadFile {
        do {
            let opened = try DownloadFile(path)
            file = opened
            return opened
        } catch {
            throw .local(attempt, error)
        }
    }
}

// The end of an exchange.
extension RangedDownload {
    func ended(_ exchange: Exchange) {
        guard let index = underWay.firstIndex(where: { $0.exchange === exchange }) else { return }
        let request = underWay.remove(at: index)
        do throws(StoreError) {
            let answer = try exchange.result()
            switch state {
            case .asking: try takeRefusal(answer, of: request)
            case .whole: state = .whole(wholeObject(answer))
            default: try takeRange(answer, of: request)
            }
        } catch {
            retry(request, after: error)
        }
        // Only downloads in progress keep their files open, so ten thousand of them can be queued.
        if isComplete { file = nil }
    }

    private var isComplete: Bool {
        guard underWay.isEmpty, repetitions.isEmpty else { return false }
        if failure == nil, case .ranges(let identity, let next) = state {
            return next == identity.total
        }
        return true
    }

    private func wholeObject(_ answer: HTTPAnswer) -> StoredObject {
        StoredObject(
            size: answer.received.size, digest: answer.received.digest,
            etag: answer.headers["etag"].flatMap { ETag($0) })
    }

    /// Handles an answer to the first request that is neither 200 nor 206.
    private func takeRefusal(_ answer: HTTPAnswer, of request: Request) throws(StoreError) {
        // An empty object has no ranges.
        if answer.status == 416, !request.piece.range.isEmpty {
            state = .refusedRange
        } else if answer.status == 404, answer.error.code == "NoSuchKey" {
            state = .absent
        } else {
            throw store.classification.error(attempt, answer)
        }
    }

    private func takeRange(_ answer: HTTPAnswer, of request: Request) throws(StoreError) {
        let wanted = Int64(request.piece.range.count)
        guard answer.status == 206 else {
            // It was replaced in the meantime: the caller that retries temporary errors reads it
            // again.
            if answer.status == 412 { throw .unavailable(attempt, answer.asError) }
            throw store.classification.error(attempt, answer)
        }
        guard answer.received.size == wanted else {
            throw .unreachable(attempt, cause: "\(answer.received.size) of \(wanted) bytes arrived")
        }
        if let digest = answer.received.digest { self.digest = digest }
    }

    /// Requests the rest of a range later, if that may help.
    private func retry(_ request: Request, after error: StoreError) {
        var piece = request.piece
        piece.failures += 1
        guard failure == nil, case .ranges = state, error.isTransient, !isReplaced(error),
            piece.failures < store.retryPolicy.attempts
        else { return fail(error) }
        let start = piece.range.lowerBound + (request.sink?.size ?? 0)
        // All bytes had arrived, and only the end of the answer was missing.
        if start == piece.range.upperBound { return }
        piece.range = start..<piece.range.upperBound
        piece.notBefore = .now + store.retryPolicy.wait(before: piece.failures)
        repetitions.append(piece)
    }

    private func isReplaced(_ error: StoreError) -> Bool {
        if case .unavailable(_, let answer) = error { answer.status == 412 } else { false }
    }

    private func fail(_ error: StoreError) {
        if failure == nil { failure = error }
        repetitions = []
        for request in underWay { request.exchange?.cancel() }
    }
}

/// The range of an answer, and the size of the object: `bytes 0-99/1234`. RFC 9110 §14.4.
struct ContentRange: Hashable, Sendable {
    let range: Range<Int64>
    /// The size of the whole object in bytes.
    let total: Int64

    /// Parses a header's value; nil unless it is a range of bytes with a known total.
    init?(_ value: String) {
        guard value.hasPrefix("bytes ") else { return nil }
        let halves = value.dropFirst("bytes ".count)
            .split(separator: "/", omittingEmptySubsequences: false)
        guard halves.count == 2 else { return nil }
        let ends = halves[0].split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = Self.number(ends[0]), let last = Self.number(ends[1]),
            let total = Self.number(halves[1]), first <= last, last < total
        else { return nil }
        range = first..<last + 1
        self.total = total
    }

    private static func number(_ digits: Substring) -> Int64? {
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int64(digits)
    }
}
