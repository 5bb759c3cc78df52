extension ProbeRun {
    /// Runs phase 1.
    ///
    /// - Returns: the failure if the backend refused If-Match with the current token, since it may
    ///   accept the bare form.
    func checkSequentialRules() throws(ProbeFailure) -> ProbeFailure? {
        try checkCreates()
        if let refusal = try checkIfMatch() { return refusal }
        try checkIfMatchOnMissing()
        return nil
    }

    private func checkCreates() throws(ProbeFailure) {
        let (step, object) = try newObject(.sequential, 1, "create")
        let other = freshBody("second")
        try expectRefusal(step, "a create of a key that exists", leaving: object) {
            create(other, at: step.key)
        }
    }

    private func checkIfMatch() throws(ProbeFailure) -> ProbeFailure? {
        var reason = ""
        var step = ProbeStep(phase: .sequential, round: 1, key: freshKey("if-match"))
        for _ in 0..<Self.patience {
            let old: ProbeObject
            (step, old) = try newObject(.sequential, 1, "if-match")
            let body = freshBody("replacement")
            switch put(body, at: step.key, .ifMatch(old.etag)) {
            case .stored:
                let new = try read(step)
                guard new.body == body else {
                    throw failure(
                        step,
                        "If-Match succeeded, but different bytes were read "
                            + "afterwards")
                }
                guard new.etag != old.etag else {
                    throw failure(step, "other bytes have the same ETag \(new.etag)")
                }
                try expectStaleRefusal(step, stale: old.etag, current: new)
                return nil
            case .refused(let refusal):
                if try landedUnheard(step, body) {
                    reason = Self.resent
                    continue
                }
                guard try read(step) == old else {
                    throw failure(step, "a refused If-Match changed the object to other bytes")
                }
                return failure(
                    step, "If-Match with the current ETag \(old.etag) was refused (\(refusal))")
            case .broken(let cause): throw failure(step, cause)
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

    private func expectStaleRefusal(
        _ step: ProbeStep, stale: ETag, current: ProbeObject
    ) throws(ProbeFailure) {
        let body = freshBody("stale")
        try expectRefusal(step, "If-Match with a stale ETag", leaving: current) {
            put(body, at: step.key, .ifMatch(stale))
        }
    }

    private func checkIfMatchOnMissing() throws(ProbeFailure) {
        let (_, object) = try newObject(.sequential, 1, "token")
        let step = ProbeStep(phase: .sequential, round: 1, key: freshKey("missing"))
        let body = freshBody("missing")
        try expectRefusal(step, "If-Match on a key that does not exist", leaving: nil) {
            put(body, at: step.key, .ifMatch(object.etag))
        }
    }
}
