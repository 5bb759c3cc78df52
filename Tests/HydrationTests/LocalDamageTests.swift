import Bytes
import GitProtocol
import Glibc
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Cache
@testable import Git
@testable import Hydration
@testable import Maintenance
@testable import Push
@testable import Repository

/// Damage on this machine, and words about it.
@Suite struct LocalDamageTests {
    /// A bench with two packs published and kept here.
    private func filled() throws -> Bench {
        let bench = try Bench(cacheSize: 1 << 30)
        try bench.push(bench.onePush(Hex.random(bytes: 3000)))
        try bench.push(bench.onePush(Hex.random(bytes: 3000)))
        return bench
    }

    private func kept(_ bench: Bench) throws -> [String] {
        try Files.names(in: bench.state.path + "/packs").filter { $0.hasSuffix(".pack") }
            .map { "\(bench.state.path)/packs/\($0)" }
    }

    /// Changes what lies between the ends of each kept pack.
    private func rot(_ bench: Bench) throws {
        for path in try kept(bench) {
            var bytes = try Files.read(path)
            for offset in 20..<bytes.count - 20 { bytes[offset] = 0x55 }
            try Files.write(bytes, to: path)
        }
    }

    @Test func pushSucceedsAfterItFailedOverARottenPack() throws {
        let bench = try filled()
        try rot(bench)
        let push = try bench.onePush()
        #expect(throws: (any Error).self) {
            guard try bench.push(push).isPublished else { throw TestFailure("refused") }
        }
        #expect(try bench.push(push).isPublished)
        _ = try bench.check()
    }

    @Test func cachedPackIsHashedDaily() throws {
        let bench = try filled()
        try rot(bench)
        for path in try kept(bench) {
            let then = timespec(tv_sec: time(nil) - 2 * 86_400, tv_nsec: 0)
            utimensat(AT_FDCWD, path, [then, then], 0)
        }
        do {
            // While another one hashes them they are taken as they are.
            let cache = try #require(bench.hydration().cache?.packs)
            let claims = try bench.published().manifest.packs.map { try cache.claim($0) }
            let workspace = try bench.hydration().readWorkspace(
                bench.published(), log: Bench.log, limits: .none)
            #expect(try Files.names(in: workspace.packDirectory).count == 4)
            #expect(claims.count == 2)
        }
        _ = try bench.check()
        // Those that are good now are not hashed again.
        for path in try kept(bench) {
            var status = stat()
            #expect(stat(path, &status) == 0 && abs(time(nil) - status.st_mtim.tv_sec) < 3600)
        }
    }

    // D4
    @Test(arguments: ["report-status", "report-status side-band-64k"])
    func gitsWordsAboutAFullDiskDoNotShrinkTheCache(capabilities: String) throws {
        let bench = try filled()
        let scratch = try TemporaryDirectory()
        let report =
            "0024unpack index-pack abnormal exit\n0026ng refs/heads/main unpacker error\n0000"
        let words = "fatal: write error: No space left on device\n"
        func band(_ number: Int, _ text: String) -> String {
            let length = String(text.utf8.count + 5, radix: 16)
            return String(repeating: "0", count: 4 - length.count) + length + "\\00\(number)" + text
        }
        let isBanded = capabilities.contains("side-band")
        let output = isBanded ? band(2, words) + band(1, report) + "0000" : report
        try Files.write(
            Array(
                """
                #!/bin/sh
                case " $* " in *" receive-pack "*) ;; *) exec '\(bench.git.path)' "$@" ;; esac
                cat >/dev/null
                printf '\(output.replacing("\n", with: "\\n"))'
                \(isBanded ? "" : "printf '\(words.replacing("\n", with: "\\n"))' >&2")
                """.utf8), to: scratch.path + "/git", mode: 0o755)
        let full = try #require(GitProgram(searching: scratch.path))
        var push = try bench.onePush()
        push.capabilities = capabilities
        var request = push.request[...]
        let commands = try PushCommands.read(
            from: PktLineReader { count in
                defer { request = request.dropFirst(count) }
                return Array(request.prefix(count))
            })
        #expect(try kept(bench).count == 2)
        let target = try bench.hydration().writeWorkspace(
            on: .published(bench.published()), log: Bench.log, limits: .none)
        let reception = try ReceivedPush.receive(
            commands, body: MemoryStream(push.pack), in: target, git: full, client: Bench.client,
            bridge: ScriptedBridge { _ in nil }, limits: .until(.now + .seconds(60))
        ) { _ in }
        guard case .unchanged(let told) = consume reception else {
            Issue.record("it was received")
            return
        }
        #expect(told.unpackError != nil)
        #expect(try kept(bench).count == 2)
    }

    @Test func leftoverOfAKilledProcessIsNotWrittenInto() throws {
        let bench = try filled()
        let hydration = try bench.hydration()
        hydration.cache?.space.shrink(to: .nothing)
        let pack = try #require(try bench.published().manifest.packs.first)
        // It was read-only already, and had another name.
        let other = bench.state.path + "/other"
        try Files.write([1, 2, 3], to: other, mode: 0o444)
        #expect(link(other, "\(bench.state.path)/packs/incoming/\(pack.hex).pack") == 0)
        _ = try hydration.readWorkspace(try bench.published(), log: Bench.log, limits: .none)
        #expect(try Files.read(other) == [1, 2, 3])
        #expect(try kept(bench).count == 2)
    }

    @Test func wrongIndexDoesNotDecideWhatIsMerged() throws {
        let bench = try Bench()
        for _ in 0..<2 { try bench.push(bench.onePush()) }
        let before = try bench.published()
        let pack = try #require(before.manifest.packs.first)
        let good = try #require(bench.memory.bytes(at: .packIndex(pack)))
        // The last digit of the last object's name, and the index's own hash: all else is in order.
        var index = good
        let count = index[1028..<1032].reduce(0) { $0 << 8 | Int($1) }
        index[1032 + 20 * count - 1] ^= 1
        var hash = MessageDigest(.sha1)
        Array(index.dropLast(20)).withUnsafeBytes { hash.update($0) }
        index = index.dropLast(20) + hash.finish()
        bench.memory.plant(index, at: .packIndex(pack))

        #expect(throws: (any Error).self) { try bench.compact() }
        #expect(try bench.published().digest == before.digest)
        #expect(try bench.leftovers().isEmpty)
        bench.memory.plant(good, at: .packIndex(pack))
        guard case .compacted = try bench.compact() else {
            Issue.record("not compacted")
            return
        }
        _ = try bench.check()
    }
}
