import ObjectStore

/// A PUT of a large object whose parts are sent at the same time: S3 CreateMultipartUpload,
/// UploadPart, CompleteMultipartUpload, and AbortMultipartUpload if it fails.
///
/// It does not rely on the completion to be conditional or answered: the key is looked up before
/// the first part and after the last.
final class MultipartUpload: StoreTransfer {
    private let store: S3Store
    private let body: ObjectBody
    private let object: ObjectKey
    private let condition: PutCondition
    private let plan: PartPlan
    private var phase = Phase.looking
    private var isAsking = false
    /// How often the current step of the phase has failed.
    private var failures = 0
    private var notBefore: ContinuousClock.Instant?
    /// The object that the key had before; nil if it had none.
    private var former: ETag?
    /// How often the outcome of a completion was uncertain.
    private var doubts = 0
    /// The condition of CompleteMultipartUpload, which a backend may not support.
    private var completionCondition: PutCondition

    private enum Phase {
        case looking
        case creating
        case sending(PartSending)
        case completing(UploadParts)
        /// A lookup of the key decides. `doubt` is the reason that the completion is uncertain.
        case verifying(UploadParts, doubt: Doubt?)
        /// The result is returned once the parts are removed.
        case aborting(UploadIdentifier, Result<StoreAnswer, StoreError>)
        case ended(Result<StoreAnswer, StoreError>)
    }

    /// - Returns: nil if it must be a single PUT: a swap, which is never large, or an object that
    ///   cannot be divided into parts.
    init?(
        of body: ObjectBody, at object: ObjectKey, _ condition: PutCondition, to store: S3Store
    ) {
        if case .ifMatch = condition { return nil }
        guard let plan = PartPlan(size: body.size, partSize: store.target.partSizes.part) else {
            return nil
        }
        self.store = store
        self.body = body
        self.object = object
        self.condition = condition
        self.plan = plan
        completionCondition = condition
    }

    func conclude() throws(StoreError) -> StoreAnswer {
        guard case .ended(let result) = phase else {
            preconditionFailure("the upload has not ended")
        }
        return try result.get()
    }

    func next() -> NextStep {
        switch phase {
        case .ended: return .done
        case .sending(let parts):
            let step = parts.next()
            guard case .done = step else { return step }
            enter(afterSending(parts))
            return next()
        case .looking, .verifying: return ask(store.httpRequest(.head(object)))
        case .creating: return ask(store.creation(of: object))
        case .completing(let parts):
            return ask(store.completion(of: object, parts, completionCondition))
        case .aborting(let identifier, _): return ask(store.abortion(of: object, identifier))
        }
    }

    /// The exchange of a phase that has exactly one.
    private func ask(_ request: @autoclosure () -> HTTPRequest) -> NextStep {
        if isAsking { return .idle }
        if let notBefore, notBefore > .now { return .wait(until: notBefore) }
        isAsking = true
        return .begin(Exchange(request()))
    }

    func ended(_ exchange: Exchange) {
        if case .sending(let parts) = phase { return parts.ended(exchange) }
        isAsking = false
        do throws(StoreError) {
            try take(try exchange.result())
        } catch {
            takeFailure(error)
        }
    }

    private func take(_ answer: HTTPAnswer) throws(StoreError) {
        switch phase {
        case .looking: try looked(answer)
        case .creating:
            let identifier = try store.identifier(in: answer, of: object)
            enter(.sending(PartSending(of: body, at: object, plan, identifier, to: store)))
        case .completing(let parts):
            completed(parts, store.classification.completion(answer, of: object))
        case .verifying(let parts, let doubt): try verified(parts, doubt, answer)
        case .aborting(_, let result):
            // 404: the upload no longer exists.
            guard store.classification.isSuccess(answer) || answer.status == 404 else {
                throw store.classification.error(.init(.put, object.path), answer)
            }
            enter(.ended(result))
        case .sending, .ended: break
        }
    }

    private func takeFailure(_ error: StoreError) {
        switch phase {
        // No part was sent yet, and a repeated PUT repeats all of this. An upload whose identifier
        // was lost is left to the bucket's lifecycle rule, because a listing cannot distinguish it
        // from another process's upload of the same object.
        case .looking, .creating: enter(.ended(.failure(error)))
        case .completing(let parts): enter(.verifying(parts, doubt: .unanswered(error)))
        case .verifying(let parts, let doubt):
            if isRepeated(after: error) { return }
            // The last lookup failed permanently, as with a 403: the key's object stays unknown.
            enter(leaving(parts, doubt, .failure(error)))
        // Parts that cannot be removed are left to the bucket's lifecycle rule.
        case .aborting(_, let result): if !isRepeated(after: error) { enter(.ended(result)) }
        case .sending, .ended: break
        }
    }

    private func enter(_ phase: Phase) {
        self.phase = phase
        failures = 0
        notBefore = nil
    }

    /// Whether the phase's exchange is retried later.
    private func isRepeated(after error: StoreError) -> Bool {
        failures += 1
        guard error.isTransient, failures < store.retryPolicy.attempts else { return false }
        notBefore = .now + store.retryPolicy.wait(before: failures)
        return true
    }
}

// The transitions between phases.
extension MultipartUpload {
    /// Ends a create of an existing object, which need not send anything.
    private func looked(_ answer: HTTPAnswer) throws(StoreError) {
        if case .found(let found) = try store.classification.answer(to: .head(object), answer) {
            if condition == .ifAbsent {
                return enter(.ended(.success(.notStored(.conditionFailed))))
            }
            former = found.etag
        }
        enter(.creating)
    }

    private func afterSending(_ sending: PartSending) -> Phase {
        do throws(StoreError) {
            return .completing(try sending.parts())
        } catch {
            return .aborting(sending.identifier, .failure(error))
        }
    }

    private func completed(_ parts: UploadParts, _ answer: CompletionAnswer) {
        switch answer {
        case .done: enter(.verifying(parts, doubt: nil))
        case .doubtful(let doubt): enter(.verifying(parts, doubt: doubt))
        case .refused(let refusal, let error):
            let result: Result<StoreAnswer, StoreError> =
                condition == .ifAbsent ? .success(.notStored(refusal)) : .failure(error)
            enter(.aborting(parts.identifier, result))
        case .notImplemented(let error):
            if completionCondition == .always {
                return enter(.aborting(parts.identifier, .failure(error)))
            }
            completionCondition = .always
        case .failed(let error): enter(.aborting(parts.identifier, .failure(error)))
        }
    }

    private func verified(
        _ parts: UploadParts, _ doubt: Doubt?, _ answer: HTTPAnswer
    ) throws(StoreError) {
        let looked = try store.classification.answer(to: .head(object), answer)
        if case .found(let found) = looked {
            // After a doubt it may be another writer's. The caller of a create verifies its
            // contents.
            if let doubt, condition == .ifAbsent {
                return enter(leaving(parts, doubt, .success(.notStored(.conditionFailed))))
            }
            // After a doubt, the object that existed before proves nothing.
            let isNew = former == nil || found.etag != former
            if found.size == body.size, doubt == nil || isNew {
                return enter(.ended(.success(.stored(found.etag))))
            }
            if doubt == nil {
                let reason = "after completion it has \(found.size) bytes, not \(body.size)"
                return enter(.ended(.failure(.corrupt(object, reason: reason))))
            }
        }
        guard let doubt else {
            let attempt = StoreError.Attempt(.put, object.path)
            let reason = "an upload was completed, but a lookup found nothing"
            return enter(.ended(.failure(.nonConforming(attempt, reason: reason))))
        }
        notThere(parts, doubt)
    }

    /// Ends with a result, and removes the parts if they are certainly not being completed.
    private func leaving(
        _ parts: UploadParts, _ doubt: Doubt?, _ result: Result<StoreAnswer, StoreError>
    ) -> Phase {
        switch doubt {
        case .answered: .aborting(parts.identifier, result)
        // A completed or removed upload has none; the backend may still be completing an unanswered
        // one.
        case nil, .gone, .unanswered: .ended(result)
        }
    }

    private func notThere(_ parts: UploadParts, _ doubt: Doubt) {
        doubts += 1
        switch doubt {
        case .unanswered(let error), .answered(let error):
            if error.isTransient, doubts < store.retryPolicy.attempts {
                enter(.completing(parts))
                notBefore = .now + store.retryPolicy.wait(before: doubts)
            } else if case .unanswered = doubt {
                // It may still be completing the parts: they are left to the bucket's lifecycle
                // rule.
                enter(.ended(.failure(error)))
            } else {
                enter(.aborting(parts.identifier, .failure(error)))
            }
        case .gone(let error): enter(.ended(.failure(error)))
        }
    }
}
