import Bytes
import Posix

/// The known state of an object of the probe.
struct ProbeObject: Equatable, Sendable {
    let body: [UInt8]
    let etag: ETag
}

/// The answer to a single write of the probe.
enum ProbeWrite: Equatable, Sendable {
    case stored(ETag)
    case refused(StoreAnswer.Refusal)
    /// It failed in transport, so its outcome is unknown.
    case dropped(String)
    /// An answer that no conforming backend returns.
    case broken(String)

    init(answer result: Result<StoreAnswer, StoreError>) {
        switch result {
        case .success(.stored(let etag?)): self = .stored(etag)
        case .success(.stored(nil)): self = .broken("a successful write gave no strong ETag")
        case .success(.notStored(let refusal)): self = .refused(refusal)
        case .success(let other): self = .broken("unexpected answer \(other)")
        case .failure(let error) where error.isTransient: self = .dropped("\(error)")
        case .failure(let error): self = .broken("\(error)")
        }
    }

    init(creation result: Result<CreateResult, StoreError>) {
        switch result {
        case .success(.created(let etag)): self = ProbeWrite(answer: .success(.stored(etag)))
        case .success(.present): self = .refused(.conditionFailed)
        case .success(.conflict): self = .refused(.conflict)
        case .failure(let error): self = ProbeWrite(answer: .failure(error))
        }
    }
}

extension ProbeRun {
    /// How often a step is tried if the transport fails: more often than any working one needs.
    static var patience: Int { 20 }

    /// Creates a body that no other write of the probe has.
    func freshBody(_ name: String) -> [UInt8] {
        Array("git-s3-backend probe \(name) \(Hex.random())\n".utf8)
    }

    /// Attempts one write.
    func put(_ body: [UInt8], at key: ObjectKey, _ condition: PutCondition) -> ProbeWrite {
        let request = StoreRequest.put(.bytes(body), at: key, condition)
        guard let result = store.perform([request]).first else { return .broken("no result") }
        let write = ProbeWrite(answer: result)
        if case .dropped = write { countDrop() }
        return write
    }

    /// Attempts one create, with the code that writes packs.
    func create(_ body: [UInt8], at key: ObjectKey) -> ProbeWrite {
        let results = store.create([(.bytes(body), key, .ifAbsent)], repeating: .never)
        guard let result = results.first else { return .broken("no result") }
        let write = ProbeWrite(creation: result)
        if case .dropped = write { countDrop() }
        return write
    }

    /// Creates an object and reads it back. If the answer is lost, it tries again with a fresh key.
    func newObject(
        _ phase: ProbeFailure.Phase, _ round: Int, _ name: String
    ) throws(ProbeFailure) -> (step: ProbeStep, object: ProbeObject) {
        var last = ProbeStep(phase: phase, round: round, key: freshKey(name))
        var reason = ""
        for _ in 0..<Self.patience {
            let body = freshBody(name)
            switch create(body, at: last.key) {
            case .stored:
                let object = try read(last)
                guard object.body == body else {
                    throw failure(
                        last,
                        "a create succeeded, but different bytes were read "
                            + "afterwards")
                }
                return (last, object)
            case .refused(let refusal):
                guard try landedUnheard(last, body) else {
                    throw failure(last, "a create of a new key was refused (\(refusal))")
                }
                reason = Self.resent
                last = ProbeStep(phase: phase, round: round, key: freshKey(name))
            case .broken(let cause): throw failure(last, cause)
            case .dropped(let cause):
                reason = cause
                store.retryPolicy.pause(before: 1)
                last = ProbeStep(phase: phase, round: round, key: freshKey(name))
            }
        }
        throw failure(
            last,
            "\(Self.patience) consecutive creates got no answer; the last error: "
                + "\(reason)")
    }

    /// Whether a refused write was applied nevertheless: the HTTP library sent it twice, and the
    /// second copy was refused. It counts as a write whose answer was lost.
    func landedUnheard(_ step: ProbeStep, _ body: [UInt8]) throws(ProbeFailure) -> Bool {
        guard try readIfThere(step)?.body == body else { return false }
        countDrop()
        return true
    }

    static var resent: String { "the write had landed, but was refused when it was sent again" }

    /// Reads an object with one GET. A missing object is a failure.
    func read(_ step: ProbeStep) throws(ProbeFailure) -> ProbeObject {
        guard let object = try readIfThere(step) else {
            throw failure(step, "an object that was written does not exist")
        }
        return object
    }

    /// Reads an object with one GET; nil if it does not exist.
    func readIfThere(_ step: ProbeStep) throws(ProbeFailure) -> ProbeObject? {
        guard let found = try look(step, .get(step.key, into: .memory(limit: 4096))) else {
            return nil
        }
        guard let etag = found.etag else { throw failure(step, "a GET gave no strong ETag") }
        return ProbeObject(body: found.bytes, etag: etag)
    }

    /// Performs a GET or a HEAD, and repeats it while the transport fails.
    func look(
        _ step: ProbeStep, _ request: StoreRequest
    ) throws(ProbeFailure) -> StoredObject? {
        var reason = ""
        for _ in 0..<Self.patience {
            switch store.perform([request]).first {
            case .success(.found(let object)): return object
            case .success(.absent): return nil
            case .failure(let error) where error.isTransient:
                countDrop()
                reason = "\(error)"
                store.retryPolicy.pause(before: 1)
            case .failure(let error): throw failure(step, "\(error)")
            case .success(let other): throw failure(step, "unexpected answer \(other)")
            case nil: throw failure(step, "no result")
            }
        }
        throw failure(
            step,
            "\(Self.patience) consecutive reads got no answer; the last error: "
                + "\(reason)")
    }

    /// Repeats a write that must be refused until it is answered, and checks that it changed
    /// nothing. Repeating it does no harm, since it must be refused each time.
    func expectRefusal(
        _ step: ProbeStep, _ what: String, leaving object: ProbeObject?,
        _ write: () -> ProbeWrite
    ) throws(ProbeFailure) {
        var reason = ""
        for _ in 0..<Self.patience {
            switch write() {
            case .stored: throw failure(step, "\(what) succeeded")
            case .broken(let cause): throw failure(step, cause)
            case .refused(let refusal):
                if object != nil, refusal == .absent {
                    throw failure(step, "\(what) was answered as if the object did not exist")
                }
                guard try readIfThere(step) == object else {
                    throw failure(step, "\(what) was refused, but changed the object")
                }
                return
            case .dropped(let cause):
                reason = cause
                store.retryPolicy.pause(before: 1)
            }
        }
        throw failure(
            step,
            "\(Self.patience) consecutive writes got no answer; the last error: "
                + "\(reason)")
    }
}
