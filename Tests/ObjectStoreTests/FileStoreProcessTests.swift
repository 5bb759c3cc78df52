import Bytes
import Glibc
import ObjectStore
import Posix
import TestSupport
import Testing

/// Other processes that use the same file store, and processes that die.
@Suite(.serialized, .tags(.slow, .race)) struct FileStoreProcessTests {
    let scratch: TemporaryDirectory
    let store: FileStore

    init() throws {
        scratch = try TemporaryDirectory()
        store = try FileStore(location: "file://" + scratch.path + "/store")
    }

    func key(_ name: String) -> ObjectKey { .probe(run: "racer", name: name) }

    func put(_ text: String, _ key: ObjectKey, _ condition: PutCondition) throws {
        let body = ObjectBody.bytes(Array(text.utf8))
        let answer = try #require(store.perform([.put(body, at: key, condition)]).first).get()
        guard case .stored = answer else {
            throw StoreError.corrupt(key, reason: "answered \(answer)")
        }
    }

    func text(_ key: ObjectKey) throws -> String {
        String(decoding: try #require(try store.get(key, limit: 1 << 20)).bytes, as: UTF8.self)
    }

    /// A racer at this store.
    func racer(_ mode: String, _ arguments: String...) throws -> Command {
        Command(
            try Programs.buildDirectory() + "/FileStoreRacer", [mode, store.location] + arguments)
    }

    /// Runs a racer until it ends.
    ///
    /// - Returns: the lines that it wrote.
    func run(_ mode: String, _ name: String, _ count: Int) throws -> [String] {
        lines(try racer(mode, name, "\(count)").run().checked())
    }

    func lines(_ result: CommandResult) -> [String] {
        result.text.split(separator: "\n").map(String.init)
    }

    @Test func processesAndThreadsLoseNoStep() throws {
        try put("0", key("counter"), .ifAbsent)
        let steps = 100
        let written = try concurrently(6) { racer in
            if racer < 4 { return try run("count", "counter", steps) }
            // Two threads of this process, along with four others.
            var won: [String] = []
            while won.count < steps {
                let object = try #require(try store.get(key("counter"), limit: 100))
                let value = try #require(Int(String(decoding: object.bytes, as: UTF8.self)))
                let next = ObjectBody.bytes(Array("\(value + 1)".utf8))
                let condition = PutCondition.ifMatch(try #require(object.etag))
                let answer = store.perform([.put(next, at: key("counter"), condition)]).first
                if case .success(.stored) = answer { won.append("\(value + 1)") }
            }
            return won
        }
        #expect(try text(key("counter")) == "\(6 * steps)")
        #expect(written.flatMap(\.self).compactMap { Int($0) }.sorted() == Array(1...6 * steps))
    }

    @Test func oneOfManyProcessesCreates() throws {
        let count = 200
        let created = try concurrently(4) { _ in try run("create", "new", count) }
        let all = created.flatMap(\.self).compactMap { Int($0) }
        #expect(all.sorted() == Array(0..<count))
        #expect(try Files.names(in: scratch.path + "/store/.tmp").isEmpty)
    }

    @Test func aFullDiskChangesNothing() throws {
        try put("small", key("x"), .ifAbsent)
        let before = try #require(try store.get(key("x"), limit: 100)?.etag)
        let errors = try run("limited", "x", 1 << 16)
        #expect(errors.count == 3)
        for error in errors {
            #expect(error.hasPrefix("Could not write 'probe/racer/x"))
            #expect(error.contains("write '\(scratch.path)/store/.tmp/"))
            #expect(error.hasSuffix(": File too large."))
        }
        #expect(try store.get(key("x"), limit: 100)?.etag == before)
        #expect(try store.get(key("x-fresh"), limit: 100) == nil)
        #expect(try Files.names(in: scratch.path + "/store/.tmp").isEmpty)
    }

    /// Kills a writer repeatedly: all writes that it reported are stored, every object is complete,
    /// and nobody waits for the lock of a dead writer.
    @Test func aKilledWriterLeavesAWholeStateAndNoLock() throws {
        let key = key("churned")
        try put("0 ", key, .ifAbsent)
        var random = SplitMix64(seed: 7)
        for round in 0..<60 {
            let racer = try racer("churn", "churned").start()
            usleep(UInt32(2000 + random.next() % 40_000))
            racer.signalGroup(SIGKILL)
            let killed = try racer.finish()
            #expect(killed.ending == .signalled(SIGKILL))

            let state = try text(key)
            let parts = state.split(separator: " ", omittingEmptySubsequences: false)
            let number = try #require(Int(parts[0]))
            #expect(
                state == "\(number) " + String(repeating: "x", count: number * 97 % 5000)
                    || number == 0)
            if let last = lines(killed).last.flatMap({ Int($0) }) {
                #expect(number == last || number == last + 1, "round \(round)")
            }
            // The lock is free, and unfinished files are swept.
            let next = try FileStore(location: store.location)
            let etag = try #require(try next.get(key, limit: 1 << 20)?.etag)
            let again = "\(number + 1) " + String(repeating: "x", count: (number + 1) * 97 % 5000)
            let answer = next.perform([.put(.bytes(Array(again.utf8)), at: key, .ifMatch(etag))])
            guard case .success(.stored) = answer.first else {
                Issue.record("round \(round): \(answer)")
                return
            }
            #expect(try Files.names(in: scratch.path + "/store/.tmp").isEmpty)
        }
        #expect(try #require(Int(try text(key).split(separator: " ")[0])) > 60)
    }
}
