import Bytes
package import ObjectStore
import Posix

/// The requirements for every store, as named cases that any test target can run on any store.
package struct StoreContract: Sendable, CustomStringConvertible {
    package let name: String
    package let check: @Sendable (any ObjectStore) throws -> Void

    package var description: String { name }

    package static let all: [StoreContract] = [
        StoreContract(name: "a missing object is absent", check: absence),
        StoreContract(name: "a stored object is read back, and found by HEAD", check: roundTrip),
        StoreContract(name: "a file is uploaded and downloaded", check: files),
        StoreContract(name: "an empty body is an object", check: emptyBody),
        StoreContract(name: "a body can be hashed without keeping it", check: inspection),
        StoreContract(name: "a body over the limit is an error", check: limit),
        StoreContract(name: "a create succeeds once", check: createOnce),
        StoreContract(name: "If-Match accepts only the current token", check: compareAndSwap),
        StoreContract(name: "If-Match on a missing key creates nothing", check: swapOfMissing),
        StoreContract(name: "tokens of PUT, GET and HEAD agree", check: tokensAgree),
        StoreContract(name: "a plain put replaces", check: plainPut),
        StoreContract(name: "a deleted object is absent", check: deletion),
        StoreContract(name: "a batch answers in order", check: batch),
        StoreContract(name: "listing is in byte order, in pages", check: listing),
        StoreContract(name: "listing continues where a page ended", check: listingDirectories),
        StoreContract(name: "content-addressed writes can be repeated", check: repeatedWrites),
        StoreContract(name: "an existing object of another size is detected", check: wrongSize),
        StoreContract(
            name: "an existing object of the same size is detected", check: wrongContent),
        StoreContract(name: "bytes that differ from the digest are detected", check: wrongBytes),
        StoreContract(name: "the pointer advances, and a stale advance loses", check: pointer),
        StoreContract(name: "one of the racing swaps wins", check: racingSwaps),
        StoreContract(name: "one of the racing creates wins", check: racingCreates),
        StoreContract(name: "racing counters lose no step", check: counters),
        StoreContract(
            name: "readers during a race see complete states", check: readersDuringWrites),
    ]

    static func key() -> ObjectKey {
        .probe(run: "contract", name: Hex.random(bytes: 8))
    }

    static func expect(_ condition: Bool, _ sentence: @autoclosure () -> String) throws {
        if !condition { throw TestFailure(sentence()) }
    }

    static func one(
        _ store: any ObjectStore, _ request: StoreRequest
    ) throws -> StoreAnswer {
        guard let result = store.perform([request]).first else {
            throw TestFailure("no result")
        }
        return try result.get()
    }

    static func put(
        _ store: any ObjectStore, _ text: String, _ key: ObjectKey, _ condition: PutCondition
    ) throws -> ETag {
        let answer = try one(store, .put(.bytes(Array(text.utf8)), at: key, condition))
        guard case .stored(let etag?) = answer else {
            throw TestFailure("a put was answered \(answer)")
        }
        return etag
    }

    private static func expectRefused(
        _ store: any ObjectStore, _ text: String, _ key: ObjectKey, _ condition: PutCondition
    ) throws {
        let answer = try one(store, .put(.bytes(Array(text.utf8)), at: key, condition))
        guard case .notStored = answer else {
            throw TestFailure("a put that must be refused was answered \(answer)")
        }
    }

    static func read(_ store: any ObjectStore, _ key: ObjectKey) throws -> StoredObject {
        guard let object = try store.get(key, limit: 1 << 20) else {
            throw TestFailure("an object is not there")
        }
        return object
    }

    static func text(_ store: any ObjectStore, _ key: ObjectKey) throws -> String {
        String(decoding: try read(store, key).bytes, as: UTF8.self)
    }

    // MARK: Single requests

    @Sendable private static func absence(_ store: any ObjectStore) throws {
        let key = key()
        try expect(try store.get(key, limit: 10) == nil, "a GET found something")
        guard case .absent = try one(store, .head(key)) else {
            throw TestFailure("a HEAD found something")
        }
    }

    @Sendable private static func roundTrip(_ store: any ObjectStore) throws {
        let key = key()
        let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        _ = try one(store, .put(.bytes(bytes), at: key, .always))
        let object = try read(store, key)
        try expect(object.bytes == bytes, "other bytes were read")
        try expect(object.size == 100_000, "the size is \(object.size)")
        try expect(object.digest == Digest(of: bytes), "the digest is another")
        guard case .found(let head) = try one(store, .head(key)) else {
            throw TestFailure("a HEAD finds nothing")
        }
        try expect(head.size == 100_000, "a HEAD gives \(head.size) bytes")
    }

    @Sendable private static func files(_ store: any ObjectStore) throws {
        let scratch = try TemporaryDirectory()
        var random = SplitMix64(seed: 1)
        let bytes = (0..<3_000_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        try Files.write(bytes, to: scratch.path + "/body")
        let digest = Digest(of: bytes)
        let body = ObjectBody.file(path: scratch.path + "/body", size: 3_000_000, digest: digest)
        try store.write([.pack(body)])
        let target = scratch.path + "/copy"
        try Files.write([1, 2, 3], to: target)
        let found = try store.download([
            Download(key: .pack(digest), digest: digest, path: target),
            Download(key: key(), digest: nil, path: scratch.path + "/none"),
        ])
        try expect(found == [true, false], "found: \(found)")
        try expect(try Files.read(target) == bytes, "other bytes were downloaded")
    }

    @Sendable private static func emptyBody(_ store: any ObjectStore) throws {
        let key = key()
        _ = try put(store, "", key, .ifAbsent)
        let object = try read(store, key)
        try expect(object.bytes.isEmpty && object.size == 0, "it has \(object.size) bytes")
        try expect(object.digest == Digest(of: []), "the digest is another")
        try expectRefused(store, "x", key, .ifAbsent)
    }

    @Sendable private static func inspection(_ store: any ObjectStore) throws {
        let key = key()
        try expect(try store.inspect(key) == nil, "an object that does not exist was found")
        let etag = try put(store, "some bytes", key, .ifAbsent)
        let object = try store.inspect(key)
        try expect(object?.digest == Digest(of: Array("some bytes".utf8)), "the digest is another")
        try expect(object?.size == 10 && object?.bytes == [], "it has \(object?.size ?? -1) bytes")
        try expect(object?.etag == etag, "the ETag is another")
    }

    @Sendable private static func limit(_ store: any ObjectStore) throws {
        let key = key()
        _ = try put(store, "12345", key, .always)
        try expect(try store.get(key, limit: 5)?.size == 5, "five bytes are within a limit of five")
        do {
            _ = try store.get(key, limit: 4)
        } catch StoreError.tooLarge {
            return
        }
        throw TestFailure("five bytes were read with a limit of four")
    }

    @Sendable private static func createOnce(_ store: any ObjectStore) throws {
        let key = key()
        let etag = try put(store, "first", key, .ifAbsent)
        try expectRefused(store, "second", key, .ifAbsent)
        try expectRefused(store, "first", key, .ifAbsent)
        let object = try read(store, key)
        try expect(object.etag == etag, "the token changed")
        try expect(object.bytes == Array("first".utf8), "the body changed")
    }

    @Sendable private static func compareAndSwap(_ store: any ObjectStore) throws {
        let key = key()
        let first = try put(store, "1", key, .ifAbsent)
        let second = try put(store, "2", key, .ifMatch(first))
        try expect(first != second, "the token did not change")
        try expectRefused(store, "3", key, .ifMatch(first))
        try expect(try text(store, key) == "2", "a refused write changed the body")
        try expect(try read(store, key).etag == second, "a refused write changed the token")
        let third = try put(store, "3", key, .ifMatch(second))
        try expectRefused(store, "4", key, .ifMatch(second))
        try expect(try read(store, key).etag == third, "the token is not the write's")
    }

    @Sendable private static func swapOfMissing(_ store: any ObjectStore) throws {
        let other = try put(store, "1", key(), .ifAbsent)
        let key = key()
        try expectRefused(store, "2", key, .ifMatch(other))
        try expect(try store.get(key, limit: 10) == nil, "If-Match created an object")
    }

    @Sendable private static func tokensAgree(_ store: any ObjectStore) throws {
        let key = key()
        let etag = try put(store, "1", key, .always)
        guard case .found(let head) = try one(store, .head(key)) else {
            throw TestFailure("a HEAD finds nothing")
        }
        try expect(head.etag == etag, "a HEAD gives another token")
        try expect(try read(store, key).etag == etag, "a GET gives another token")
    }

    @Sendable private static func plainPut(_ store: any ObjectStore) throws {
        let key = key()
        let first = try put(store, "longer", key, .always)
        let second = try put(store, "short", key, .always)
        try expect(first != second, "the token did not change")
        try expect(try text(store, key) == "short", "the first body remains")
        try expectRefused(store, "3", key, .ifMatch(first))
    }

    @Sendable private static func deletion(_ store: any ObjectStore) throws {
        let key = key()
        let first = try put(store, "1", key, .always)
        _ = try one(store, .delete(key))
        try expect(try store.get(key, limit: 10) == nil, "it is still there")
        try expectRefused(store, "2", key, .ifMatch(first))
        _ = try put(store, "3", key, .ifAbsent)
        // S3 answers both with 204.
        switch try one(store, .delete(Self.key())) {
        case .absent, .deleted: break
        case let other: throw TestFailure("deleting nothing was answered \(other)")
        }
    }

    @Sendable private static func batch(_ store: any ObjectStore) throws {
        let keys = (0..<20).map { _ in key() }
        let puts = keys.enumerated().map { index, key in
            StoreRequest.put(.bytes(Array("\(index)".utf8)), at: key, .ifAbsent)
        }
        for result in store.perform(puts) {
            guard case .stored = try result.get() else {
                throw TestFailure("a put of a batch was answered \(result)")
            }
        }
        let gets = (keys + [key()]).map { StoreRequest.get($0, into: .memory(limit: 10)) }
        for (index, result) in store.perform(gets).enumerated() {
            switch try result.get() {
            case .found(let object):
                try expect(object.bytes == Array("\(index)".utf8), "answers are out of order")
            case .absent: try expect(index == 20, "object \(index) is not there")
            case let other: throw TestFailure("a GET was answered \(other)")
            }
        }
        try expect(store.perform([]).isEmpty, "no requests, but results")
    }

    @Sendable private static func listingDirectories(_ store: any ObjectStore) throws {
        let run = "tree" + Hex.random(bytes: 8)
        let places = [
            (run, "a"), (run, "z"), (run + "-1", "b"), (run + "0", "c"), (run + "-1", "y"),
        ]
        let expected = places.map { "probe/\($0.0)/\($0.1)" }.sorted()
        for (run, name) in places {
            _ = try put(store, name, .probe(run: run, name: name), .always)
        }
        // Whichever comes first, "x/" or "x-1/": each page starts where the previous one ended.
        var listed: [String] = []
        while true {
            let rest = try store.list(prefix: "probe/\(run)", startingAfter: listed.last)
            guard let next = rest.first else { break }
            try expect(rest.count == expected.count - listed.count, "after \(listed): \(rest)")
            listed.append(next.key)
        }
        try expect(listed.sorted() == expected, "listed: \(listed)")
    }

    @Sendable private static func listing(_ store: any ObjectStore) throws {
        let run = "list" + Hex.random(bytes: 8)
        let names = ["b", "a-b", "a", "a0", "a.b", "A", "sub-1", "z"]
        for name in names { _ = try put(store, name, .probe(run: run, name: name), .always) }
        let expected = names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        let prefix = "probe/\(run)/"
        let all = try store.list(prefix: prefix, startingAfter: nil)
        try expect(all.map(\.key) == expected.map { prefix + $0 }, "listed: \(all.map(\.key))")
        try expect(all.map(\.size) == expected.map { Int64($0.utf8.count) }, "sizes differ")
        let rest = try store.list(prefix: prefix, startingAfter: prefix + "a.b")
        try expect(rest.map(\.key) == ["a0", "b", "sub-1", "z"].map { prefix + $0 }, "after a.b")
        let some = try store.list(prefix: prefix + "a", startingAfter: nil)
        try expect(some.map(\.key) == ["a", "a-b", "a.b", "a0"].map { prefix + $0 }, "prefix a")
        try expect(try store.list(prefix: "no/such/", startingAfter: nil).isEmpty, "of nothing")
    }

    // MARK: Operations built on them

    @Sendable private static func repeatedWrites(_ store: any ObjectStore) throws {
        let pack = Array("pack \(Hex.random())".utf8)
        let manifest = Array("manifest \(Hex.random())".utf8)
        let digest = Digest(of: pack)
        let writes: [ObjectWrite] = [
            .pack(.bytes(pack)), .packIndex(of: digest, .bytes([1, 2])),
            .manifest(.bytes(manifest)),
        ]
        try store.write(writes)
        try store.write(writes)
        let read = try store.getVerified(.pack(digest), digest: digest, limit: 1000)
        try expect(read == pack, "other bytes were read")
        try store.write([.packIndex(of: digest, .bytes([3]))])
        try expect(try store.get(.packIndex(digest), limit: 9)?.bytes == [3], "the index remains")
    }

    @Sendable private static func wrongSize(_ store: any ObjectStore) throws {
        let pack = Array("pack \(Hex.random())".utf8)
        _ = try put(store, "short", .pack(Digest(of: pack)), .always)
        do {
            try store.write([.pack(.bytes(pack))])
        } catch StoreError.corrupt {
            return
        }
        throw TestFailure("an object of another size was taken for ours")
    }

    /// P7
    @Sendable private static func wrongContent(_ store: any ObjectStore) throws {
        let pack = Array("pack \(Hex.random())".utf8)
        let damaged = String(decoding: pack.reversed(), as: UTF8.self)
        _ = try put(store, damaged, .pack(Digest(of: pack)), .always)
        do {
            try store.write([.pack(.bytes(pack))])
        } catch StoreError.corrupt(let key, _) {
            return try expect(key == .pack(Digest(of: pack)), "another key was named")
        }
        throw TestFailure("damaged bytes were taken for ours")
    }

    @Sendable private static func wrongBytes(_ store: any ObjectStore) throws {
        let digest = Digest(of: Array(Hex.random().utf8))
        _ = try put(store, "other", .manifest(digest), .always)
        do {
            _ = try store.getVerified(.manifest(digest), digest: digest, limit: 1000)
        } catch StoreError.corrupt {
            return
        }
        throw TestFailure("other bytes than the digest's were read")
    }

    @Sendable private static func pointer(_ store: any ObjectStore) throws {
        guard let name = RepositoryName("contract/r" + Hex.random(bytes: 8)) else {
            throw TestFailure("a name is a name")
        }
        let digests = (0..<3).map { _ in Digest(of: Array(Hex.random().utf8)) }
        try expect(try store.readPointer(of: name) == nil, "there is a pointer before the first")
        let none: (Digest) -> Lineage = { _ in .excludesOurs }
        guard
            case .won(let first?) = try store.advancePointer(
                of: name, expecting: nil, to: digests[0], lineage: none)
        else { throw TestFailure("the first advance was not won") }
        guard
            case .won(let second?) = try store.advancePointer(
                of: name, expecting: first, to: digests[1], lineage: none)
        else { throw TestFailure("the second advance was not won") }
        let current = try store.readPointer(of: name)
        try expect(current == PointerValue(digest: digests[1], etag: second), "the pointer differs")
        for stale in [nil, first] {
            guard
                case .lost(let winner) = try store.advancePointer(
                    of: name, expecting: stale, to: digests[2], lineage: none)
            else { throw TestFailure("a stale advance was not lost") }
            try expect(winner == current, "a lost advance names another winner")
        }
        try expect(try store.readPointer(of: name) == current, "a lost advance changed the pointer")
    }
}
