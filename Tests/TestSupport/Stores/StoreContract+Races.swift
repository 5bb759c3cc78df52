import ObjectStore
import Synchronization

/// Concurrent writers and readers of one key.
extension StoreContract {
    @Sendable static func racingSwaps(_ store: any ObjectStore) throws {
        let key = key()
        var etag = try put(store, "start", key, .ifAbsent)
        for round in 0..<8 {
            let token = etag
            let outcomes = try concurrently(12) { racer in
                (
                    racer,
                    try one(
                        store,
                        .put(.bytes(Array("\(round) \(racer)".utf8)), at: key, .ifMatch(token)))
                )
            }
            etag = try soleWinner(outcomes, store, key) { "\(round) \($0)" }
        }
    }

    @Sendable static func racingCreates(_ store: any ObjectStore) throws {
        for _ in 0..<8 {
            let key = key()
            let outcomes = try concurrently(12) { racer in
                (racer, try one(store, .put(.bytes(Array("\(racer)".utf8)), at: key, .ifAbsent)))
            }
            _ = try soleWinner(outcomes, store, key) { "\($0)" }
        }
    }

    private static func soleWinner(
        _ outcomes: [(Int, StoreAnswer)], _ store: any ObjectStore, _ key: ObjectKey,
        _ body: (Int) -> String
    ) throws -> ETag {
        var winners: [(Int, ETag)] = []
        for (racer, answer) in outcomes {
            switch answer {
            case .stored(let etag?): winners.append((racer, etag))
            case .notStored: break
            default: throw TestFailure("racer \(racer) was answered \(answer)")
            }
        }
        guard winners.count == 1, let (winner, etag) = winners.first else {
            throw TestFailure("\(winners.count) racers won")
        }
        let object = try read(store, key)
        try expect(object.bytes == Array(body(winner).utf8), "the winner's body is not there")
        try expect(object.etag == etag, "the token is not the winner's")
        return etag
    }

    @Sendable static func counters(_ store: any ObjectStore) throws {
        let key = key()
        _ = try put(store, "0", key, .ifAbsent)
        let steps = try concurrently(4) { _ in
            var won = 0
            for _ in 0..<15 {
                let object = try read(store, key)
                guard let etag = object.etag,
                    let value = Int(String(decoding: object.bytes, as: UTF8.self))
                else { throw TestFailure("no counter") }
                let next = ObjectBody.bytes(Array("\(value + 1)".utf8))
                if case .stored = try one(store, .put(next, at: key, .ifMatch(etag))) { won += 1 }
            }
            return won
        }
        let total = steps.reduce(0, +)
        try expect(try text(store, key) == "\(total)", "\(total) steps won, counted otherwise")
    }

    @Sendable static func readersDuringWrites(_ store: any ObjectStore) throws {
        let key = key()
        _ = try put(store, "0", key, .always)
        let tokens = Mutex<[ETag: String]>([:])
        func note(_ etag: ETag, _ body: String) throws {
            let before = tokens.withLock { tokens in
                defer { tokens[etag] = body }
                return tokens[etag]
            }
            // MD5 tokens repeat for equal bodies; only these may share a token.
            try expect(before == nil || before == body, "one token for '\(body)' and another body")
        }
        _ = try concurrently(4) { racer in
            for step in 0..<25 {
                if racer == 0 {
                    let body = String(repeating: "\(step) ", count: 1 + step * 50)
                    try note(try put(store, body, key, .always), body)
                } else {
                    let object = try read(store, key)
                    guard let etag = object.etag else {
                        throw TestFailure("a GET gave no token")
                    }
                    try note(etag, String(decoding: object.bytes, as: UTF8.self))
                }
            }
        }
    }
}
