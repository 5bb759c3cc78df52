import Bytes
import GitProtocol
import ObjectStore
import TestBench
import TestSupport
import Testing

@testable import Push
@testable import Repository

/// A push that another came before is applied on top of it where the two do not touch.
@Suite struct ReapplyTests {
    /// Receives every push on the same parent, and publishes one after the other.
    private func race(_ pushes: [PushRequest], _ bench: Bench) throws -> [Bench.Ending] {
        let parent = try bench.published()
        return try pushes.map { try bench.reapplyingPush($0, on: parent) }
    }

    private func ids(_ bench: Bench) throws -> [String: String] {
        Dictionary(
            uniqueKeysWithValues: try bench.published().manifest.refs.map {
                ($0.key.description, $0.value.hex)
            })
    }

    @Test func pushesToDifferentRefsAllSucceed() throws {
        let bench = try Bench()
        let pushes = try (0..<5).map { try bench.onePush(to: "refs/heads/b\($0)") }
        let endings = try race(pushes, bench)
        #expect(endings.allSatisfy { $0.isPublished })
        for push in pushes {
            #expect(try ids(bench)[push.commands[0].name] == push.commands[0].new)
        }
        // A chain, no fork: each manifest has its own parent.
        var chain: [Digest] = []
        var next: Digest? = try bench.published().digest
        while let digest = next {
            chain.append(digest)
            next = try Manifests(bench.memory).manifest(digest, of: bench.repository).parent
        }
        #expect(Set(chain).count == 6)
        _ = try bench.check()
    }

    @Test func concurrentPushesAllSucceed() throws {
        let bench = try Bench()
        let parent = try bench.published()
        let pushes = try (0..<6).map { try bench.onePush(to: "refs/heads/b\($0)") }
        let endings = try concurrently(6) {
            try bench.reapplyingPush(pushes[$0], on: parent, attempts: 20)
        }
        #expect(endings.allSatisfy { $0.isPublished })
        #expect(try ids(bench).count == 6)
        _ = try bench.check()
    }

    @Test(arguments: [
        Fault.dropReply, .resend, .failAfterApplying, .dropRequest, .late(requests: 1),
    ])
    func doubtfulAnswersAreReapplied(fault: Fault) throws {
        let bench = try Bench()
        let parent = try bench.published()
        let one = try bench.onePush(to: "refs/heads/one")
        let two = try bench.onePush(to: "refs/heads/two")
        #expect(try bench.reapplyingPush(one, on: parent).isPublished)
        let faulty = FaultyStore(
            wrapping: bench.memory,
            [FaultRule(fault, keys: { $0.path.hasSuffix("/pointer") }, limit: 2)])
        #expect(try bench.reapplyingPush(two, on: parent, to: faulty).isPublished)
        faulty.landLate()
        #expect(try ids(bench).keys.sorted() == ["refs/heads/one", "refs/heads/two"])
        _ = try bench.check()
    }

    @Test func oneAttemptReappliesNothing() throws {
        let bench = try Bench()
        let parent = try bench.published()
        #expect(try bench.reapplyingPush(bench.onePush(to: "refs/heads/a"), on: parent).isPublished)
        let other = try bench.onePush(to: "refs/heads/b")
        guard case .lost = try bench.reapplyingPush(other, on: parent, attempts: 1) else {
            Issue.record("it did not lose")
            return
        }
        #expect(try ids(bench)["refs/heads/b"] == nil)
    }

    @Test func movedRefIsNotOverwritten() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let pushes = try [bench.onePush(), bench.onePush()]
        let endings = try race(pushes, bench)
        #expect(endings[0].isPublished && !endings[1].isPublished)
        #expect(try ids(bench)["refs/heads/main"] == pushes[0].commands[0].new)
    }

    @Test func unchangedRefsStayOkOrAreRefused() throws {
        let bench = try Bench()
        try bench.push(bench.onePush(to: "refs/heads/a"))
        let parent = try bench.published()
        // Asks for `a` as it is, and for a deletion of what is not there.
        var push = try bench.onePush(to: "refs/heads/b")
        let value = try #require(try ids(bench)["refs/heads/a"])
        push.commands.append((value, value, "refs/heads/a"))
        push.commands.append((bench.zero, bench.zero, "refs/heads/c"))
        let mover = try bench.onePush(to: "refs/heads/a")
        #expect(try bench.reapplyingPush(mover, on: parent).isPublished)
        let ending = try bench.reapplyingPush(push, on: parent)
        #expect(ending.isPublished)
        #expect(ending.report.accepted == ["refs/heads/b", "refs/heads/c"].map { Array($0.utf8) })
        #expect(ending.report.rejected.map(\.rawName) == [Array("refs/heads/a".utf8)])
        #expect(try ids(bench)["refs/heads/a"] == mover.commands[0].new)
        #expect(try ids(bench)["refs/heads/b"] == push.commands[0].new)
    }

    @Test func refWithTheSameValueIsNoObstacle() throws {
        let bench = try Bench()
        let both = try bench.onePush(to: "refs/heads/a")
        var more = both
        more.commands.append((bench.zero, both.commands[0].new, "refs/heads/b"))
        #expect(try race([both, more], bench).allSatisfy { $0.isPublished })
        #expect(try ids(bench).count == 2)
    }

    @Test func tagsKeepTheirPeeledValues() throws {
        let bench = try Bench()
        let branch = try bench.onePush(to: "refs/heads/a")
        var tag = try bench.onePush(to: "refs/heads/b")
        let object = try bench.source.tag("v1", of: tag.commands[0].new)
        tag.commands.append((bench.zero, object, "refs/tags/v1"))
        tag.pack = try bench.source.pack([tag.commands[0].new, object], without: [])
        #expect(try race([branch, tag], bench).allSatisfy { $0.isPublished })
        let manifest = try bench.published().manifest
        let name = try #require(RefName("refs/tags/v1"))
        #expect(manifest.peeled?[name]?.hex == tag.commands[0].new)
        let later = try bench.onePush(to: "refs/heads/c")
        #expect(try bench.reapplyingPush(later).isPublished)
        #expect(try bench.published().manifest.peeled?.count == 1)
        #expect(try bench.check().contains("\(tag.commands[0].new) refs/tags/v1^{}"))
    }

    @Test(arguments: [
        ("refs/heads/a", "refs/heads/a/b"), ("refs/heads/a/b", "refs/heads/a"),
        ("refs/heads/a/b/c", "refs/heads/a/b"),
    ])
    func nameCannotBecomeADirectoryOfAnother(first: String, second: String) throws {
        let bench = try Bench()
        let endings = try race([bench.onePush(to: first), bench.onePush(to: second)], bench)
        #expect(endings[0].isPublished && !endings[1].isPublished)
        #expect(try ids(bench).keys.sorted() == [first])
    }

    @Test func deletionIsAppliedToTheWinnersState() throws {
        let bench = try Bench()
        let base = try bench.onePush(to: "refs/heads/base")
        try bench.push(base)
        let parent = try bench.published()
        let built = try bench.source.commit("built", parent: base.commands[0].new)
        let onBase = PushRequest(
            commands: [(bench.zero, built, "refs/heads/topic")],
            pack: try bench.source.pack([built], without: [base.commands[0].new]))
        let delete = PushRequest(
            commands: [(base.commands[0].new, bench.zero, "refs/heads/base")],
            capabilities: "report-status delete-refs")
        #expect(try bench.reapplyingPush(delete, on: parent).isPublished)
        #expect(try bench.reapplyingPush(onBase, on: parent).isPublished)
        #expect(try ids(bench) == ["refs/heads/topic": built])
        _ = try bench.check()
    }

    @Test func incompatibleStatesAreNotReappliedOn() throws {
        let head = try #require(RefName("refs/heads/main"))
        let name = try #require(RefName("refs/heads/a"))
        let id = try #require(ObjectID(Array(String(repeating: "a", count: 40).utf8)))
        let pack = Digest(of: [1])
        let parent = Manifest(head: head, packs: [pack])
        var after = parent
        after.refs[name] = id
        after.packs.insert(Digest(of: [2]))
        let changes = RefChanges(from: parent, to: after)
        let digest = Digest(of: [9])

        var winner = parent
        winner.packs.insert(Digest(of: [3]))
        let reapplied = try #require(changes.applied(to: winner, digest: digest))
        #expect(reapplied.packs == [pack, Digest(of: [2]), Digest(of: [3])])
        #expect(reapplied.parent == digest && reapplied.refs == [name: id])

        winner.packs = [Digest(of: [3])]
        #expect(changes.applied(to: winner, digest: digest) == nil)
        winner = parent
        winner.kind = .tombstone
        #expect(changes.applied(to: winner, digest: digest) == nil)
        winner = parent
        winner.objectFormat = .sha256
        #expect(changes.applied(to: winner, digest: digest) == nil)
    }

    @Test func repositoryCreatedAgainIsNotPushedTo() throws {
        let bench = try Bench()
        let parent = try bench.published()
        let push = try bench.onePush()
        let main = try #require(RefName("refs/heads/main"))
        for kind in [Manifest.Kind.tombstone, .live] {
            let current = try #require(try bench.memory.readPointer(of: bench.repository))
            let next = Manifest(kind: kind, head: main, parent: current.digest)
            let body = ObjectBody.bytes(try next.canonicalBytes())
            try bench.memory.write([.manifest(body)])
            _ = try bench.memory.advancePointer(
                of: bench.repository, expecting: current.etag, to: body.digest
            ) { _ in .excludesOurs }
        }
        #expect(try !bench.reapplyingPush(push, on: parent).isPublished)
        #expect(try ids(bench).isEmpty)
    }

    @Test func winnersHEADIsKept() throws {
        let main = try #require(RefName("refs/heads/main"))
        let other = try #require(RefName("refs/heads/other"))
        let id = try #require(ObjectID(Array(String(repeating: "a", count: 40).utf8)))
        let parent = Manifest(head: main, refs: [main: id, other: id])
        var after = parent
        after.refs[other] = nil
        let changes = RefChanges(from: parent, to: after)
        var winner = parent
        #expect(changes.applied(to: winner, digest: Digest(of: []))?.head == main)
        winner.head = other
        #expect(changes.applied(to: winner, digest: Digest(of: [])) == nil)
    }
}

extension Bench {
    /// Receives and publishes, reapplying.
    func reapplyingPush(
        _ push: PushRequest, on snapshot: Snapshot? = nil, to target: (any ObjectStore)? = nil,
        attempts: Int = 5
    ) throws -> Ending {
        try settle(
            try receive(push, on: snapshot),
            in: PublicationQueue(of: repository, in: Manifests(target ?? store)), attempts: attempts
        )
    }
}
