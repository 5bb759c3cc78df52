import Posix

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
                throw failure(step, "racer \(racer) was told that the object is not there")
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
