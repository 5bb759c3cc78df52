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
@testable import Repository

// D3
/// Cached packs that git failed with.
@Suite struct PackProofsTests {
    private let bench: Bench
    private let cache: PackCache
    /// Two, published and cached.
    private let packs: [Digest]

    init() throws {
        bench = try Bench(cacheSize: 1 << 30)
        for _ in 0..<2 { try bench.push(bench.onePush(Hex.random(bytes: 3000))) }
        cache = try #require(bench.hydration().cache?.packs)
        packs = try bench.published().manifest.packs.sorted { $0.hex < $1.hex }
    }

    /// Changes a byte inside of a cached pack.
    private func rot(_ digest: Digest) throws {
        let path = cache.base(of: digest) + ".pack"
        var bytes = try Files.read(path)
        bytes[bytes.count / 2] ^= 1
        try Files.write(bytes, to: path)
    }

    private func isCached(_ digest: Digest) -> Bool {
        access(cache.base(of: digest) + ".pack", F_OK) == 0
    }

    @Test func suspectPacksAreHashedAndDamagedOnesDropped() throws {
        try rot(packs[0])
        cache.prove(packs, .sha1)
        #expect(!isCached(packs[0]))
        #expect(isCached(packs[1]))
        _ = try bench.check()
    }

    @Test func packsAreNotHashedAgainWithinMinutes() throws {
        cache.prove(packs, .sha1)
        for digest in packs { try rot(digest) }
        cache.prove(packs, .sha1)
        for digest in packs { #expect(isCached(digest), "it was hashed again") }
        // As after eleven minutes, and where the clock was set back by a year.
        for (digest, offset) in zip(packs, [-660, 365 * 86_400]) {
            let lines = packs.map {
                "\($0.hex) \(time(nil) + ($0 == digest ? offset : 0))\n"
            }.joined()
            try Files.write(Array(("no line\n" + lines).utf8), to: cache.proofs)
            cache.prove(packs, .sha1)
            #expect(!isCached(digest))
        }
    }

    @Test func oneProcessHashesAtATime() throws {
        try rot(packs[0])
        do {
            let other = try FileLock.attempt(cache.proofs)
            defer { _ = other }
            cache.prove(packs, .sha1)
        }
        #expect(isCached(packs[0]))
        #expect(try Files.read(cache.proofs).isEmpty)
        cache.prove(packs, .sha1)
        #expect(!isCached(packs[0]))
    }

    @Test func packsAreNotedBeforeTheyAreHashed() throws {
        // Not to be read, as if the process had ended there.
        let path = cache.base(of: packs[0]) + ".pack"
        Files.removeTree(path)
        cache.prove([packs[0]], .sha1)
        #expect(try Files.read(cache.proofs).starts(with: packs[0].hex.utf8))
    }

    @Test func packsThatCannotBeNotedAreNotHashed() throws {
        try rot(packs[0])
        try Files.makeDirectories(cache.proofs)
        cache.prove(packs, .sha1)
        #expect(isCached(packs[0]))
    }

    @Test(arguments: [true, false])
    func refusedPushLeavesPacksAloneWhateverItsRefs(isSuspect: Bool) throws {
        let workspace = try bench.hydration().readWorkspace(
            bench.published(), log: Bench.log, limits: .none)
        let reason = isSuspect ? "missing necessary objects" : "missing necessary objects in x"
        let lines = ["unpack ok\n", "ng refs/heads/missing-x \(reason)\n"]
        var bytes: [UInt8] = []
        for line in lines { PktLine.append(Array(line.utf8), to: &bytes) }
        workspace.lookForTrouble(after: try PushReport(parsing: bytes + PktLine.flushBytes))
        #expect((access(cache.proofs, F_OK) == 0) == isSuspect)
        for digest in packs { #expect(isCached(digest)) }
    }
}
