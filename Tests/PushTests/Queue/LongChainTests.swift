import Bytes
import GitProtocol
import ObjectStore
import TestBench
import TestSupport
import Testing

@testable import Maintenance
@testable import Push
@testable import Repository

/// Swaps beside very many other states, and what is remembered of those.
@Suite struct LongChainTests {
    /// Plants states on top of what is published, each with a parent of its own, and points there.
    private func plant(_ count: Int, _ bench: Bench) throws {
        let last = try bench.published()
        var (manifest, digest) = (last.manifest, last.digest)
        for _ in 0..<count {
            manifest.parent = digest
            let bytes = try manifest.canonicalBytes()
            digest = Digest(of: bytes)
            bench.memory.plant(bytes, at: .manifest(digest))
        }
        bench.memory.plant(digest.bytes, at: .pointer(of: bench.repository))
    }

    // P8
    @Test func rewrittenPointerOfTheSameStateIsNoObstacle() throws {
        let bench = try Bench()
        try plant(1100, bench)
        let push = try bench.receive(bench.onePush())
        let pointer = ObjectKey.pointer(of: bench.repository)
        bench.memory.plant(bench.memory.bytes(at: pointer), at: pointer)
        bench.memory.resetCounts()
        #expect(try bench.settle(push, in: bench.queue(), attempts: 2).isPublished)
        #expect(bench.memory.counts.gets < 5)
        // If only one swap may be tried, the push is lost, and known to be.
        let other = try bench.receive(bench.onePush())
        bench.memory.plant(bench.memory.bytes(at: pointer), at: pointer)
        guard case .lost = try bench.settle(other, in: bench.queue(), attempts: 1) else {
            Issue.record("not lost")
            return
        }
    }

    // P8
    @Test(arguments: [1, 5])
    func pushIsReappliedOnMoreThanAThousandStates(attempts: Int) throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let push = try bench.receive(bench.onePush(to: "refs/heads/slow"))
        try plant(1100, bench)
        let ending = try bench.settle(push, in: bench.queue(), attempts: attempts)
        #expect(ending.isPublished == (attempts > 1))
        if case .lost(let report) = ending {
            #expect(report.reasons["refs/heads/slow"]?.contains("another push came first") == true)
        }
    }

    // P8
    @Test func deletionRetriesAfterARewrittenPointer() throws {
        let bench = try Bench()
        let pointer = ObjectKey.pointer(of: bench.repository)
        let bytes = try #require(bench.memory.bytes(at: pointer))
        let faulty = FaultyStore(
            wrapping: bench.memory,
            [
                FaultRule(
                    .interleave { _ in bench.memory.plant(bytes, at: pointer) },
                    keys: { $0 == pointer }, limit: 1)
            ])
        _ = try Deletion(of: bench.repository).run(in: Manifests(faulty))
    }

    // M5
    @Test func knownChainIsBoundedAndReadAgain() throws {
        let bench = try Bench()
        func snapshot() throws -> Snapshot { try bench.published() }
        let first = try snapshot()
        var chain = KnownChain(.published(first))
        var early: Digest?
        for number in 0..<2600 {
            let digest = try bench.publish { _ in }
            if number == 40 { early = digest }
            chain.advance(
                to: Snapshot(
                    repository: bench.repository, etag: first.etag, digest: digest,
                    manifest: first.manifest))
            #expect(chain.count <= 2 * KnownChain.capacity)
        }
        let wanted = try #require(early)
        #expect(chain.includes(chain.tip.digest))
        // Unknown, which is not the same as "no ancestor".
        #expect(!chain.includes(first.digest) && !chain.isComplete)
        #expect(!chain.includes(wanted))

        let ancestry = Ancestry(repository: bench.repository, manifests: Manifests(bench.memory))
        let stranger = Digest(of: [1])
        try chain.follow(downTo: [wanted, stranger], by: ancestry)
        #expect(chain.includes(wanted) && !chain.includes(stranger))
        #expect(chain.count <= 2 * KnownChain.capacity + 1)
        // Known as long as somebody needs it, and with no more reading.
        for _ in 0..<1500 {
            let digest = try bench.publish { _ in }
            chain.advance(
                to: Snapshot(
                    repository: bench.repository, etag: first.etag, digest: digest,
                    manifest: first.manifest))
        }
        #expect(chain.includes(wanted))
        bench.memory.resetCounts()
        try chain.follow(downTo: [wanted], by: ancestry)
        #expect(bench.memory.counts.gets == 0)
        try chain.follow(downTo: [], by: ancestry)
        #expect(!chain.includes(wanted))
    }

    // M5, P8
    @Test func forgottenPushIsPublishedAgain() throws {
        let bench = try Bench()
        var swap = SharedSwap(of: bench.repository, in: Manifests(bench.memory))
        func candidate(_ ref: String, on parent: Snapshot) throws -> Candidate {
            let name = try #require(RefName(ref))
            var manifest = parent.manifest
            manifest.refs[name] = ObjectID(Digest(of: [1]).bytes.prefix(40))
            manifest.parent = parent.digest
            return Candidate(
                parent: .published(parent), manifest: manifest, stored: nil, wholeness: .refByRef,
                attempts: 5, accepted: [name])
        }
        let old = try candidate("refs/heads/old", on: try bench.published())
        let churn = try #require(RefName("refs/heads/churn"))
        for number in 0..<2100 {
            let parent = try bench.published()
            var next = try candidate("refs/heads/churn", on: parent).manifest
            next.refs[churn] = ObjectID(Digest(of: Array("\(number)".utf8)).bytes.prefix(40))
            let round = swap.round([
                Candidate(
                    parent: .published(parent), manifest: next, stored: nil, wholeness: .refByRef,
                    attempts: 1, accepted: [churn])
            ])
            guard case .settled(.published)? = round.first else {
                Issue.record("\(round)")
                return
            }
        }
        let before = try #require(swap.chain)
        #expect(before.count <= 2 * KnownChain.capacity && !before.includes(old.parent.digest))

        guard case .waiting(let rest)? = swap.round([old]).first else {
            Issue.record("not tried again")
            return
        }
        guard case .settled(.published)? = swap.round([rest]).first else {
            Issue.record("not published")
            return
        }
        let refs = try bench.published().manifest.refs.keys.map(\.description)
        #expect(refs.contains("refs/heads/old") && refs.contains("refs/heads/churn"))
    }
}
