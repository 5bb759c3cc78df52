import Bytes
import Glibc
package import ObjectStore
import Posix
import Synchronization

/// A fault that a ``FaultyStore`` applies to a request.
package enum Fault: Sendable {
    // Transient faults, on the way to the store or back.

    /// Applied; the answer is lost.
    case dropReply
    /// Not applied; no answer.
    case dropRequest
    /// No answer; a PUT is applied after this many further requests.
    case late(requests: Int)
    /// Applied, then sent again, as an HTTP library does on a dead connection; the caller gets the
    /// second answer.
    case resend
    /// The same, with this status as the answer to the second copy.
    case resendRefused(Int)
    /// 503, not applied.
    case unavailable
    /// 500 after applying.
    case failAfterApplying
    /// 409 ConditionalRequestConflict, not applied.
    case conflict
    /// 409 in place of 412.
    case refuseAsConflict
    /// 403, not applied.
    case denied
    /// 400 EntityTooLarge, not applied.
    case rejected
    /// Other bytes are stored, and the store's ETag shows that.
    case alter
    /// Delayed.
    case delay(Duration)
    /// Runs this first, on the underlying store.
    case interleave(@Sendable (any ObjectStore) -> Void)

    // Faults of backends that do not conform.

    /// A conditional PUT is applied unconditionally.
    case ignoreCondition
    /// A conditional PUT checks first and writes later, not atomically.
    case race
    /// The answer has no ETag, or a weak one.
    case dropETag
    /// The answer has a different ETag than the object.
    case strayETag
    /// If-Match with a quoted token never matches.
    case refuseQuotes
    /// A PUT is refused, but applied nevertheless.
    case applyRefused
    /// Reported as successful, but not applied.
    case pretend
    /// The first byte of a GET's body is changed.
    case flipByte
    /// A GET reports that the object does not exist.
    case hide
    /// EIO, as from a file store whose disk has lost a sector.
    case badSector
}

/// The requests to which a fault applies.
package struct FaultRule: Sendable {
    package typealias Verb = StoreError.Attempt.Verb

    package var fault: Fault
    package var verbs: Set<Verb>
    package var keys: @Sendable (ObjectKey) -> Bool
    package var condition: @Sendable (PutCondition) -> Bool
    /// The number of matching requests to skip first.
    package var sparing: Int
    /// The number of matching requests affected after that.
    package var limit: Int
    /// The probability for each, from 0 to 1.
    package var probability: Double

    package init(
        _ fault: Fault, on verbs: Set<Verb> = [.put],
        keys: @escaping @Sendable (ObjectKey) -> Bool = { _ in true },
        condition: @escaping @Sendable (PutCondition) -> Bool = { _ in true },
        sparing: Int = 0, limit: Int = .max, probability: Double = 1
    ) {
        self.fault = fault
        self.verbs = verbs
        self.keys = keys
        self.condition = condition
        self.sparing = sparing
        self.limit = limit
        self.probability = probability
    }
}

/// A store that makes requests to another one fail. A seed determines the sequence of faults, as
/// long as the requests come in the same order; `story` describes both when a test fails.
package final class FaultyStore: ObjectStore {
    package enum TagForm: Sendable { case quoted, bare }

    private struct State {
        var rules: [FaultRule]
        var random: SplitMix64
        var late: [(remaining: Int, request: StoreRequest)] = []
        var told: [String] = []
    }

    private final class Shared: Sendable {
        let state: Mutex<State>
        init(_ state: State) { self.state = Mutex(state) }
    }

    private let inner: any ObjectStore
    private let seed: UInt64
    private let shared: Shared
    private let form: TagForm

    package init(wrapping inner: any ObjectStore, seed: UInt64 = 0, _ rules: [FaultRule]) {
        self.inner = inner
        self.seed = seed
        shared = Shared(State(rules: rules, random: SplitMix64(seed: seed)))
        form = .quoted
    }

    private init(_ other: FaultyStore, over inner: any ObjectStore, _ form: TagForm) {
        self.inner = inner
        seed = other.seed
        shared = other.shared
        self.form = form
    }

    package var location: String { "faulty+" + inner.location }
    package var retryPolicy: RetryPolicy { inner.retryPolicy }
    package var checksBodies: Bool { inner.checksBodies }

    /// The seed and the faults that occurred: for a failing test's message.
    package var story: String {
        shared.state.withLock { state in
            "seed \(seed); \(state.told.count) faults: "
                + state.told.suffix(40).joined(separator: ", ")
        }
    }

    /// The number of faults that occurred.
    package var faultCount: Int { shared.state.withLock { $0.told.count } }

    /// Applies the PUTs that are late.
    package func landLate() {
        let late = shared.state.withLock { state in
            defer { state.late = [] }
            return state.late
        }
        _ = inner.perform(late.map(\.request))
    }

    package var dialect: Dialect { form == .bare ? inner.dialect.union(.bareETags) : inner.dialect }

    package func speaking(_ dialect: Dialect) -> (any ObjectStore)? {
        inner.speaking(dialect.subtracting(.bareETags)).map {
            FaultyStore(self, over: $0, dialect.contains(.bareETags) ? .bare : .quoted)
        }
    }

    package func list(
        prefix: String, startingAfter: String?
    ) throws(StoreError) -> [ListedObject] {
        try inner.list(prefix: prefix, startingAfter: startingAfter)
    }

    package func perform(_ requests: [StoreRequest]) -> [Result<StoreAnswer, StoreError>] {
        requests.map { request in
            landDue()
            guard let fault = chooseFault(for: request) else { return send(request) }
            return befall(request, fault)
        }
    }

    private func send(_ request: StoreRequest) -> Result<StoreAnswer, StoreError> {
        inner.perform([request]).first
            ?? .failure(.nonConforming(.init(request), reason: "no result"))
    }

    private func landDue() {
        let due = shared.state.withLock { state in
            for index in state.late.indices { state.late[index].remaining -= 1 }
            defer { state.late.removeAll { $0.remaining < 0 } }
            return state.late.filter { $0.remaining < 0 }.map(\.request)
        }
        if !due.isEmpty { _ = inner.perform(due) }
    }

    private func chooseFault(for request: StoreRequest) -> Fault? {
        shared.state.withLock { state in
            for index in state.rules.indices where state.rules[index].matches(request) {
                if state.rules[index].sparing > 0 {
                    state.rules[index].sparing -= 1
                    continue
                }
                let rule = state.rules[index]
                if rule.limit == 0 { continue }
                if rule.probability < 1, state.random.nextFraction() >= rule.probability {
                    continue
                }
                if case .refuseQuotes = rule.fault, form == .bare { continue }
                state.rules[index].limit -= 1
                state.told.append("\(rule.fault) on \(StoreError.Attempt(request))")
                return rule.fault
            }
            return nil
        }
    }

    private func befall(
        _ request: StoreRequest, _ fault: Fault
    ) -> Result<StoreAnswer, StoreError> {
        let attempt = StoreError.Attempt(request)
        switch fault {
        case .dropReply:
            _ = send(request)
            return .failure(.unreachable(attempt, cause: "reply dropped"))
        case .dropRequest:
            return .failure(.unreachable(attempt, cause: "request dropped"))
        case .late(let requests):
            if case .put = request {
                shared.state.withLock { $0.late.append((requests, request)) }
            }
            return .failure(.unreachable(attempt, cause: "timed out"))
        case .resend:
            _ = send(request)
            return send(request)
        case .resendRefused(let status):
            _ = send(request)
            var resent = attempt
            resent.wasResent = true
            let answer = StoreError.Answer(status: status, code: "")
            return .failure(status == 403 ? .denied(resent, answer) : .rejected(resent, answer))
        case .unavailable:
            return .failure(.unavailable(attempt, .init(status: 503, code: "SlowDown")))
        case .failAfterApplying:
            _ = send(request)
            return .failure(.unavailable(attempt, .init(status: 500, code: "InternalError")))
        case .conflict:
            return .success(.notStored(.conflict))
        case .refuseAsConflict:
            let answer = send(request)
            if case .success(.notStored) = answer { return .success(.notStored(.conflict)) }
            return answer
        case .denied:
            return .failure(.denied(attempt, .init(status: 403, code: "AccessDenied")))
        case .rejected:
            return .failure(.rejected(attempt, .init(status: 400, code: "EntityTooLarge")))
        case .alter:
            guard case .put(_, let key, let condition) = request else { return send(request) }
            _ = send(.put(.bytes([0]), at: key, condition))
            return .failure(.altered(key, reason: "the ETag is another"))
        case .delay(let duration):
            RetryPolicy(attempts: 1, base: duration, ceiling: duration).pause(before: 1)
            return send(request)
        case .interleave(let body):
            body(inner)
            return send(request)
        case .ignoreCondition:
            return send(request.unconditional)
        case .race:
            return lookThenWrite(request)
        case .dropETag, .strayETag:
            return send(request).map { $0.retagged(by: fault) }
        case .refuseQuotes:
            guard case .put(_, _, .ifMatch) = request else { return send(request) }
            return .success(.notStored(.conditionFailed))
        case .applyRefused:
            let answer = send(request)
            if case .success(.notStored) = answer { _ = send(request.unconditional) }
            return answer
        case .pretend:
            return .success(.stored(ETag("\"pretended\"")))
        case .flipByte:
            return send(request).map(\.withFirstByteFlipped)
        case .hide:
            return .success(.absent)
        case .badSector:
            return .failure(.local(attempt, SystemError("read", request.key.path, code: EIO)))
        }
    }

    private func lookThenWrite(_ request: StoreRequest) -> Result<StoreAnswer, StoreError> {
        guard case .put(_, let key, let condition) = request else { return send(request) }
        var current: StoredObject?
        if case .success(.found(let object)) = send(.head(key)) { current = object }
        usleep(2000)
        switch condition {
        case .always: break
        case .ifAbsent: if current != nil { return .success(.notStored(.conditionFailed)) }
        case .ifMatch(let etag):
            if current?.etag != etag { return .success(.notStored(.conditionFailed)) }
        }
        return send(request.unconditional)
    }
}

extension FaultRule {
    fileprivate func matches(_ request: StoreRequest) -> Bool {
        guard verbs.contains(StoreError.Attempt(request).verb), keys(request.key) else {
            return false
        }
        if case .put(_, _, let condition) = request { return self.condition(condition) }
        return true
    }
}

extension StoreRequest {
    fileprivate var unconditional: StoreRequest {
        if case .put(let body, let key, _) = self { return .put(body, at: key, .always) }
        return self
    }
}

extension StoreAnswer {
    fileprivate func retagged(by fault: Fault) -> StoreAnswer {
        var etag: ETag?
        if case .strayETag = fault { etag = ETag("\"stray\"") }
        switch self {
        case .stored: return .stored(etag)
        case .found(var object):
            object.etag = etag
            return .found(object)
        default: return self
        }
    }

    fileprivate var withFirstByteFlipped: StoreAnswer {
        guard case .found(var object) = self, let first = object.bytes.first else { return self }
        object.bytes[0] = first ^ 1
        object.digest = Digest(of: object.bytes)
        return .found(object)
    }
}

/// A small generator whose sequence depends only on its seed. Steele, Lea, Flood, "Fast Splittable
/// Pseudorandom Number Generators", 2014.
package struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    fileprivate mutating func nextFraction() -> Double {
        Double(next() >> 11) / Double(1 << 53)
    }
}
