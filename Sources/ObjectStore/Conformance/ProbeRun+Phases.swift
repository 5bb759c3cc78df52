import Posix

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

extension ProbeRun {
    /// Runs phases 2 and 3: exactly one of several writers with the same condition wins.
    func checkRaces(_ phase: ProbeFailure.Phase) throws(ProbeFailure) {
        var ended: [(step: ProbeStep, object: ProbeObject)] = []
        for round in 1...max(rounds, 1) {
            ended.append(try checkRace(phase, round))
        }
        // A copy that arrived late must have been refused, too.
        for (step, object) in ended where try read(step) != object {
            throw failure(step, "the object changed after its race had been won")
        }
    }

    private func checkRace(
        _ phase: ProbeFailure.Phase, _ round: Int
    ) throws(ProbeFailure) -> (step: ProbeStep, object: ProbeObject) {
        let step: ProbeStep
        let start: ProbeObject?
        switch phase {
        case .createRace:
            step = ProbeStep(phase: phase, round: round, key: freshKey("create-race"))
            start = nil
        default:
            let (made, object) = try newObject(phase, round, "race")
            step = made
            start = object
        }

        let bodies = (0..<width).map { freshBody("racer \($0)") }
        let writes: [ProbeWrite]
        do {
            // Reading first opens each thread's connection, so that the writes arrive at the same
            // time.
            writes = try race(width: width, ready: { _ = self.store.perform([.head(step.key)]) }) {
                racer in
                switch start {
                case nil: self.create(bodies[racer], at: step.key)
                case let start?: self.put(bodies[racer], at: step.key, .ifMatch(start.etag))
                }
            }
        } catch {
            throw failure(step, "\(error)")
        }
        return (step, try judge(step, start: start, bodies, writes))
    }

    /// Compares the answers of the racers with the object afterwards.
    private func judge(
        _ step: ProbeStep, start: ProbeObject?, _ bodies: [[UInt8]], _ writes: [ProbeWrite]
    ) throws(ProbeFailure) -> ProbeObject {
        var winners: [Int] = []
        var dropped: [Int] = []
        for (racer, write) in writes.enumerated() {
            switch write {
            case .stored: winners.append(racer)
            case .dropped: dropped.append(racer)
            case .refused(.absent) where start != nil:
                throw failure(step, "racer \(racer) was answered that the object does not exist")
            case .refused: break
            case .broken(let cause): throw failure(step, "racer \(racer): \(cause)")
            }
        }
        let observers = writes.count - dropped.count
        guard observers >= 2 else {
            throw failure(
                step, "only \(observers) of \(writes.count) racers got an answer; two are needed")
        }
        guard winners.count <= 1 else {
            throw failure(
                step, "\(winners.count) of \(writes.count) racers were reported as successful")
        }
        return try judgeOutcome(step, start: start, bodies, winner: winners.first, dropped)
    }

    private func judgeOutcome(
        _ step: ProbeStep, start: ProbeObject?, _ bodies: [[UInt8]], winner: Int?, _ dropped: [Int]
    ) throws(ProbeFailure) -> ProbeObject {
        guard let now = try readChanged(step, from: start, awaiting: dropped) else {
            throw failure(
                step,
                winner.map { "racer \($0) won, but the object is as before" }
                    ?? "every racer that got an answer lost, and nobody won")
        }
        guard let holder = bodies.firstIndex(of: now.body) else {
            throw failure(step, "the object holds what no racer wrote")
        }
        if let start, now.etag == start.etag {
            throw failure(step, "the object has changed, but not its ETag \(now.etag)")
        }
        // A racer whose answer was lost may have won; in that case nobody else has.
        if let winner, winner != holder {
            throw failure(step, "racer \(winner) won, but the object holds what \(holder) wrote")
        }
        if winner == nil, !dropped.contains(holder) {
            throw failure(
                step, "racer \(holder) was refused, yet the object holds what it wrote")
        }
        return now
    }

    /// Reads the result of the race; nil if nothing changed. A write whose answer was lost may take
    /// a moment to be applied.
    private func readChanged(
        _ step: ProbeStep, from start: ProbeObject?, awaiting dropped: [Int]
    ) throws(ProbeFailure) -> ProbeObject? {
        for look in 1...(dropped.isEmpty ? 1 : Self.patience) {
            if look > 1 { store.retryPolicy.pause(before: 1) }
            if let now = try readIfThere(step), now != start { return now }
        }
        return nil
    }
}
