extension ProbeRun {
    /// Runs phase 4: PUT, GET and HEAD return the same token, byte for byte, for each kind of
    /// write.
    func checkETagConsistency() throws(ProbeFailure) {
        for round in 1...max(rounds, 1) {
            try checkTokens(round)
        }
    }

    private func checkTokens(_ round: Int) throws(ProbeFailure) {
        var reason = ""
        var step = ProbeStep(phase: .etagConsistency, round: round, key: freshKey("etag"))
        attempts: for _ in 0..<Self.patience {
            step = ProbeStep(phase: .etagConsistency, round: round, key: freshKey("etag"))
            var current: ETag?
            for kind in WriteKind.allCases {
                let body = freshBody("etag")
                switch put(body, at: step.key, kind.condition(current)) {
                case .stored(let etag):
                    try expectAgreement(step, kind, etag, body)
                    current = etag
                case .dropped(let cause):
                    reason = cause
                    store.retryPolicy.pause(before: 1)
                    continue attempts
                case .refused(let refusal):
                    if try landedUnheard(step, body) {
                        reason = Self.resent
                        continue attempts
                    }
                    throw failure(step, "\(kind.rawValue) was refused (\(refusal))")
                case .broken(let cause): throw failure(step, cause)
                }
            }
            return
        }
        throw failure(
            step,
            "\(Self.patience) consecutive writes got no answer; the last error: "
                + "\(reason)")
    }

    private enum WriteKind: String, CaseIterable {
        case create = "a create"
        case replace = "If-Match with the ETag that a PUT gave"
        case plain = "a plain PUT"

        func condition(_ current: ETag?) -> PutCondition {
            switch self {
            case .create: .ifAbsent
            case .replace: current.map(PutCondition.ifMatch) ?? .ifAbsent
            case .plain: .always
            }
        }
    }

    private func expectAgreement(
        _ step: ProbeStep, _ kind: WriteKind, _ put: ETag, _ body: [UInt8]
    ) throws(ProbeFailure) {
        let got = try read(step)
        guard got.body == body else {
            throw failure(
                step,
                "\(kind.rawValue) succeeded, but different bytes were read "
                    + "afterwards")
        }
        guard let head = try look(step, .head(step.key)) else {
            throw failure(step, "a GET finds the object, a HEAD does not")
        }
        guard head.size == Int64(body.count) else {
            throw failure(step, "a HEAD gives \(head.size) bytes for \(body.count)")
        }
        guard put == got.etag, head.etag == put else {
            throw failure(
                step,
                "after \(kind.rawValue), PUT gave the ETag \(put), GET \(got.etag), "
                    + "HEAD \(head.etag?.text ?? "none")")
        }
    }
}
