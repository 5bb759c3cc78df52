import Bytes
import Glibc
import ObjectStore
import Posix
import TestSupport
import Testing

@Suite struct FileStoreTests {
    let scratch: TemporaryDirectory
    let store: FileStore

    init() throws {
        scratch = try TemporaryDirectory()
        store = try FileStore(location: "file://" + scratch.path + "/store")
    }

    var root: String { scratch.path + "/store" }

    func key(_ name: String) -> ObjectKey { .probe(run: "test", name: name) }

    func path(_ key: ObjectKey) -> String { root + "/" + key.path }

    func put(
        _ text: String, _ key: ObjectKey, _ condition: PutCondition, _ other: FileStore? = nil
    ) throws -> StoreAnswer {
        let request = StoreRequest.put(.bytes(Array(text.utf8)), at: key, condition)
        return try #require((other ?? store).perform([request]).first).get()
    }

    func token(
        _ text: String, _ key: ObjectKey, _ condition: PutCondition, _ other: FileStore? = nil
    ) throws -> ETag {
        guard case .stored(let etag?) = try put(text, key, condition, other) else {
            throw StoreError.corrupt(key, reason: "not stored")
        }
        return etag
    }

    @Test func objectsArePlainFiles() throws {
        _ = try token("hello", key("a"), .ifAbsent)
        #expect(try Files.read(path(key("a"))) == Array("hello".utf8))
        #expect(try Files.names(in: root + "/.tmp").isEmpty)
    }

    @Test(arguments: [
        ("file:///srv/git", "/srv/git"), ("file:///srv//git/", "/srv/git"),
        ("file:///a%20b/%25", "/a b/%"), ("file:///%C3%A9", "/é"), ("file:///a%3Fb", "/a?b"),
    ])
    func locationsAreTakenApart(_ location: String, _ path: String) throws {
        // The parent does not exist: the error contains the decoded path.
        let deep = location.hasSuffix("/") ? location + "x/y" : location + "/x/y"
        #expect { try FileStore(location: deep) } throws: { error in
            "\(error)".contains(
                "mkdir '\(path)/x/y': No such file or directory. Create its parent")
        }
    }

    @Test(arguments: [
        "", "/srv/git", "srv/git", "file:srv", "file:/srv/git", "file://srv/git", "file://host/git",
        "s3://bucket", "FILE:///srv", "file://", "file:///", "file:////", "file:///a/../b",
        "file:///a/./b", "file:///a%2e%2e/..", "file:///a?x=1", "file:///a#b", "file:///a%",
        "file:///a%4",
        "file:///a%zz", "file:///a%00b", "file:///a%0Ab", "file:///a%ff", "file:///%2e%2e/a",
    ])
    func locationsAreRefused(_ location: String) {
        #expect { try FileStore(location: location) } throws: { error in
            "\(error)".hasPrefix("'\(location)' is not a valid file store: ")
                && "\(error)".hasSuffix("Give an absolute path, as in 'file:///srv/git'.")
        }
    }

    @Test func oneSpellingNamesOneStore() throws {
        let other = try FileStore(location: "file://" + scratch.path + "//st%6Fre/")
        #expect(other.location == store.location)
    }

    @Test func aFileIsNoRoot() throws {
        try Files.write([], to: scratch.path + "/file")
        #expect { try FileStore(location: "file://" + scratch.path + "/file") } throws: { error in
            "\(error)".contains("Not a directory. Specify a directory.")
        }
    }

    @Test func tokensNeverRepeatForOneKey() throws {
        // In memory: with a disk's fsync the clock would advance between writes.
        let scratch = try TemporaryDirectory(
            in: access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp")
        let store = try FileStore(location: "file://" + scratch.path)
        let key = key("rewritten")
        var seen: Set<ETag> = []
        var current = try token("a", key, .ifAbsent, store)
        seen.insert(current)
        for step in 0..<10_000 {
            current = try token(step.isMultiple(of: 2) ? "b" : "a", key, .ifMatch(current), store)
            #expect(seen.insert(current).inserted)
        }
    }

    @Test func tokensGrowThoughTheClockGoesBack() throws {
        let key = key("future")
        let first = try token("a", key, .ifAbsent)
        // As if it had been written when the clock was a century ahead.
        let time = timespec(tv_sec: Glibc.time(nil) + 3_000_000_000, tv_nsec: 999_999_999)
        utimensat(AT_FDCWD, path(key), [time, time], 0)
        let ahead = try #require(try store.get(key, limit: 10)?.etag)
        #expect(first != ahead)
        var tokens: Set<ETag> = [first, ahead]
        var current = ahead
        for _ in 0..<100 {
            current = try token("a", key, .ifMatch(current))
            #expect(tokens.insert(current).inserted)
            var status = stat()
            #expect(stat(path(key), &status) == 0)
            #expect(status.st_mtim.tv_sec > time.tv_sec)
        }
    }

    @Test func tokensDoNotComeBackWithARemovedObject() throws {
        let key = key("removed")
        var tokens: Set<ETag> = []
        for round in 0..<50 {
            let etag = try token("a", key, .ifAbsent)
            #expect(tokens.insert(etag).inserted)
            if round == 10 {
                // The clock was ahead when it was written.
                let time = timespec(tv_sec: Glibc.time(nil) + 1_000_000, tv_nsec: 0)
                utimensat(AT_FDCWD, path(key), [time, time], 0)
            }
            _ = store.perform([.delete(key)])
            var status = stat()
            if round > 10 {
                _ = try token("b", key, .ifAbsent)
                #expect(stat(path(key), &status) == 0)
                #expect(status.st_mtim.tv_sec >= Glibc.time(nil) + 900_000)
                _ = store.perform([.delete(key)])
            }
        }
    }

    // P6
    @Test func bodyThatChangedSinceItWasHashedIsNotStored() throws {
        try Files.write([2], to: scratch.path + "/changed")
        let digest = Digest(of: [1])
        let bodies = [
            ObjectBody.bytes([2], digest),
            .file(path: scratch.path + "/changed", size: 1, digest: digest),
        ]
        for body in bodies {
            let result = try #require(store.perform([.put(body, at: key("x"), .ifAbsent)]).first)
            #expect { try result.get() } throws: { error in
                guard case StoreError.sourceChanged = error else { return false }
                return "\(error)".contains(key("x").path) && "\(error)".contains("\(digest)")
            }
            #expect(try store.get(key("x"), limit: 10) == nil)
            #expect(try Files.names(in: root + "/.tmp").isEmpty)
        }
        #expect(store.checksBodies)
    }

    @Test func missingStoreIsNotAnEmptyStore() throws {
        _ = try token("a", key("x"), .ifAbsent)
        #expect(rename(root, root + ".away") == 0)
        let requests: [StoreRequest] = [
            .get(key("x"), into: .memory(limit: 10)), .head(key("x")), .delete(key("x")),
            .put(.bytes([1]), at: key("x"), .ifAbsent), .put(.bytes([1]), at: key("x"), .always),
        ]
        for result in store.perform(requests) {
            #expect { try result.get() } throws: { isLocal($0, ENOENT) }
        }
        #expect { try store.list(prefix: "", startingAfter: nil) } throws: { isLocal($0, ENOENT) }
        // A mount point without its disk.
        #expect(mkdir(root, 0o700) == 0)
        for result in store.perform(requests) {
            #expect { try result.get() } throws: { isLocal($0, ENOENT) }
        }
        #expect { try store.list(prefix: "", startingAfter: nil) } throws: { isLocal($0, ENOENT) }
    }

    func isLocal(_ error: any Error, _ code: Int32) -> Bool {
        if case StoreError.local(_, let system) = error { system.code == code } else { false }
    }

    @Test func directoriesThatWereTidiedUpAreMadeAgain() throws {
        _ = try token("a", key("x"), .ifAbsent)
        Files.removeTree(root + "/probe")
        _ = try token("a", key("x"), .ifAbsent)
        Files.removeTree(root + "/probe")
        _ = try token("a", key("x"), .always)
        #expect(
            unlink(root + "/.locks/" + Digest(of: Array(key("x").path.utf8)).hex.prefix(2)) == 0)
        #expect(try put("b", key("x"), .ifAbsent).isRefusal)
    }

    @Test func otherThanRegularFilesAreNotRead() throws {
        #expect(mkdir(root + "/manifests", 0o700) == 0)
        let digest = Digest(of: [])
        #expect(mkdir(root + "/manifests/" + digest.hex, 0o700) == 0)
        #expect(mkfifo(root + "/manifests/" + Digest(of: [1]).hex, 0o600) == 0)
        for digest in [digest, Digest(of: [1])] {
            #expect { try store.get(.manifest(digest), limit: 10) } throws: { error in
                if case StoreError.corrupt = error { true } else { false }
            }
        }
    }

    @Test func aListingShowsObjectsAlone() throws {
        _ = try token("a", key("x"), .ifAbsent)
        try Files.write([], to: root + "/.hidden")
        try Files.write([], to: root + "/foreign name")
        try Files.write([], to: root + "/.tmp/left")
        let listed = try store.list(prefix: "", startingAfter: nil)
        #expect(listed == [ListedObject(key: "probe/test/x", size: 1)])
    }

    @Test func aListingPagesThroughAll() throws {
        let requests = (0..<2345).map { index in
            StoreRequest.put(
                .bytes([]), at: .probe(run: "r\(index % 7)", name: "\(index)"), .always)
        }
        for result in store.perform(requests) { _ = try result.get() }
        var keys: [String] = []
        while true {
            let page = try store.list(prefix: "probe/", startingAfter: keys.last)
            if page.isEmpty { break }
            #expect(page.count <= 1000)
            keys += page.map(\.key)
        }
        #expect(keys.count == 2345)
        let expected = requests.map(\.key.path).sorted {
            $0.utf8.lexicographicallyPrecedes($1.utf8)
        }
        #expect(keys == expected)
    }

    @Test func leftoversOfDeadWritersAreSweptAndTheRestKept() throws {
        let dead = root + "/.tmp/dead"
        let alive = root + "/.tmp/alive"
        try Files.write([1], to: dead)
        let writer = try OwnedDescriptor.open(alive, O_WRONLY | O_CREAT | O_EXCL)
        #expect(try Files.lock(writer.raw, waiting: .never, alive))
        _ = try FileStore(location: store.location)
        #expect(try Files.names(in: root + "/.tmp") == ["alive"])
        try writer.close()
    }
}

extension StoreAnswer {
    fileprivate var isRefusal: Bool {
        if case .notStored = self { true } else { false }
    }
}
