import Bytes
import GitProtocol
import ObjectStore
import TestBench
import TestSupport
import Testing

@testable import Push
@testable import Repository

/// A push whose refs nobody moved is received again where the winner is no state that it can be
/// applied to as it is.
@Suite struct ReceiveAgainTests {
    /// A repository of two packs: a fold makes others of them.
    private func bench() throws -> Bench {
        let bench = try Bench()
        for _ in 0..<2 { try bench.push(bench.onePush()) }
        return bench
    }

    /// Receives a push, lets something happen, and publishes.
    private func push(
        _ push: PushRequest, _ bench: Bench, attempts: Int = 5, to store: (any ObjectStore)? = nil,
        answeringAgain: Bench.Answering = .allow, after other: () throws -> Void
    ) throws -> Bench.Ending {
        let reception = try bench.receive(push)
        try other()
        return try bench.settle(
            reception, in: bench.queue(store), attempts: attempts, answeringAgain: answeringAgain)
    }

    @Test(arguments: [ObjectFormat.sha1, .sha256])
    func mergedPacksAreNoObstacleAndThePackIsStoredOnce(format: ObjectFormat) throws {
        let bench = try Bench(format: format)
        for _ in 0..<3 { try bench.push(bench.onePush()) }
        let commit = try bench.onePush()
        let log = BatchLog(bench.memory)
        let ending = try push(commit, bench, to: log) { try bench.fold() }
        #expect(ending.isPublished)
        #expect(ending.report.acceptedNames == ["refs/heads/main"])
        #expect(try bench.ids()["refs/heads/main"] == commit.commands[0].new)
        #expect(try bench.published().manifest.packs.count == 2)
        let packs = log.batches.flatMap { $0 }.filter { $0.hasPrefix("write 'packs/") }
        #expect(packs.count == 2, "the pack and its index, once")
        #expect(try bench.leftovers().isEmpty)
        _ = try bench.check()
    }

    @Test(arguments: [ObjectFormat.sha1, .sha256])
    func pushesWithoutObjectsAreReceivedAgain(format: ObjectFormat) throws {
        let bench = try Bench(format: format)
        try bench.push(bench.onePush(to: "refs/heads/a"))
        try bench.push(bench.onePush(to: "refs/heads/b"))
        let tip = try #require(try bench.ids()["refs/heads/a"])
        var copy = try bench.push(tip, to: ["refs/heads/c"])
        copy.capabilities = "report-status object-format=\(format.rawValue)"
        copy.pack = try bench.source.pack([tip], without: [tip])
        #expect(try push(copy, bench) { try bench.fold() }.isPublished)
        let delete = PushRequest(
            commands: [(tip, bench.zero, "refs/heads/a")],
            capabilities: "report-status delete-refs object-format=\(format.rawValue)")
        try bench.push(bench.onePush(to: "refs/heads/b"))
        #expect(try push(delete, bench) { try bench.fold() }.isPublished)
        #expect(try bench.ids().keys.sorted() == ["refs/heads/b", "refs/heads/c"])
        _ = try bench.check()
    }

    @Test func missingBaseIsFound() throws {
        for unreachable in [Bench.Unreachable.dropped, .kept] {
            let bench = try bench()
            let base = try bench.onePush(to: "refs/heads/base")
            try bench.push(base)
            let built = try bench.source.commit("built", parent: base.commands[0].new)
            let topic = PushRequest(
                commands: [(bench.zero, built, "refs/heads/topic")],
                pack: try bench.source.pack([built], without: [base.commands[0].new]))
            let before = try bench.ids()["refs/heads/main"]
            let ending = try push(topic, bench) {
                let delete = PushRequest(
                    commands: [(base.commands[0].new, bench.zero, "refs/heads/base")],
                    capabilities: "report-status delete-refs")
                #expect(try bench.push(delete).isPublished)
                try bench.fold(unreachable)
            }
            switch unreachable {
            case .dropped:
                #expect(!ending.isPublished && ending.report.accepted.isEmpty)
                #expect(ending.report.rejected.count == 1, "\(ending.report.reasons)")
                #expect(try bench.ids() == ["refs/heads/main": before])
            case .kept:
                #expect(ending.isPublished)
                #expect(try bench.ids()["refs/heads/topic"] == built)
            }
            _ = try bench.check()
        }
    }

    @Test(arguments: [
        ("refs/heads/a", "refs/heads/a/b"), ("refs/heads/a/b", "refs/heads/a"),
    ])
    func gitRefusesANameBelowAnother(first: String, second: String) throws {
        for capabilities in ["report-status", "report-status atomic"] {
            let bench = try Bench()
            let both = try bench.push(
                bench.source.commit("both"), to: [second, "refs/heads/c"],
                capabilities: capabilities)
            let ending = try push(both, bench) {
                try bench.push(bench.onePush(to: first))
            }
            let isAtomic = capabilities.contains("atomic")
            #expect(ending.isPublished != isAtomic)
            #expect(ending.report.reasons[second] != nil)
            #expect(ending.report.acceptedNames == (isAtomic ? [] : ["refs/heads/c"]))
            #expect(
                try bench.ids().keys.sorted() == (isAtomic ? [first] : [first, "refs/heads/c"]))
            _ = try bench.check()
        }
    }

    @Test func currentHEADIsNotDeleted() throws {
        let bench = try bench()
        try bench.push(bench.onePush(to: "refs/heads/other"))
        let tip = try #require(try bench.ids()["refs/heads/other"])
        let delete = PushRequest(
            commands: [(tip, bench.zero, "refs/heads/other")],
            capabilities: "report-status delete-refs")
        let ending = try push(delete, bench) {
            try bench.publish { $0.head = try #require(RefName("refs/heads/other")) }
        }
        #expect(
            ending.report.reasons == [
                "refs/heads/other": "deletion of the current branch prohibited"
            ])
        #expect(try bench.ids()["refs/heads/other"] == tip)
    }

    @Test func olderWinnerIsCompletedWithPeeledRefs() throws {
        let bench = try Bench()
        let commit = try bench.source.commit("one")
        let tag = try bench.source.tag("v1", of: commit)
        let ending = try push(try bench.onePush(to: "refs/heads/a"), bench) {
            try bench.push(
                PushRequest(
                    commands: [(bench.zero, tag, "refs/tags/v1")],
                    pack: try bench.source.pack([tag])))
            let snapshot = try bench.published()
            let text = String(decoding: try snapshot.manifest.canonicalBytes(), as: UTF8.self)
            let cut = try #require(text.ranges(of: ",\"peeled\"").first?.lowerBound)
            let old = Array((text[..<cut] + "}").utf8)
            bench.memory.plant(old, at: .manifest(Digest(of: old)))
            bench.memory.plant(Digest(of: old).bytes, at: .pointer(of: bench.repository))
        }
        #expect(ending.isPublished)
        #expect(try bench.published().manifest.peeled?.values.map(\.hex) == [commit])
        _ = try bench.check()
    }

    @Test func onlyRefsThatDidNotMoveAreReceivedAgain() throws {
        let bench = try bench()
        let names = ["refs/heads/a", "refs/heads/b", "refs/heads/c"]
        let both = try bench.push(bench.source.commit("both"), to: names)
        let ending = try push(both, bench) {
            try bench.push(bench.onePush(to: names[0]))
            try bench.fold()
        }
        #expect(ending.isPublished)
        #expect(ending.report.acceptedNames == [names[1], names[2]])
        #expect(Array(ending.report.reasons.keys) == [names[0]])
        #expect(try bench.ids()[names[1]] == both.commands[1].new)
        #expect(try bench.ids()[names[0]] != both.commands[0].new)

        var atomic = try bench.push(bench.source.commit("more"), to: names)
        for index in names.indices {
            atomic.commands[index].old = try #require(try bench.ids()[names[index]])
        }
        atomic.capabilities = "report-status atomic"
        let before = try bench.ids()
        let lost = try push(atomic, bench) {
            try bench.push(bench.onePush(to: names[2]))
            try bench.fold()
        }
        #expect(!lost.isPublished && lost.report.rejected.count == 3)
        #expect(try bench.ids()[names[0]] == before[names[0]])
    }

    @Test(arguments: ["report-status", "report-status atomic"])
    func fulfilledRefsAreOk(capabilities: String) throws {
        let bench = try bench()
        for name in ["refs/heads/gone", "refs/heads/old"] {
            try bench.push(bench.onePush(to: name))
        }
        let ids = try bench.ids()
        let commit = try bench.source.commit("all")
        var all = try bench.push(
            commit, to: ["refs/heads/new", "refs/heads/main", "refs/heads/other"],
            capabilities: capabilities + " delete-refs")
        all.commands[1].old = try #require(ids["refs/heads/main"])
        all.commands.append((try #require(ids["refs/heads/gone"]), bench.zero, "refs/heads/gone"))
        let names = all.commands.map(\.name)
        let ending = try push(all, bench) {
            // The same is done to three of the four by another, and what it left is folded.
            var some = all
            some.commands.remove(at: 2)
            #expect(try bench.push(some).isPublished)
            try bench.fold()
        }
        #expect(ending.isPublished, "\(ending.report.reasons)")
        #expect(ending.report.acceptedNames == names)
        let expected = [
            "refs/heads/old": ids["refs/heads/old"], "refs/heads/new": commit,
            "refs/heads/main": commit, "refs/heads/other": commit,
        ]
        #expect(try bench.ids() == expected)
        _ = try bench.check()
    }

    @Test func bridgeCanDenyTheSecondTime() throws {
        let bench = try bench()
        let before = try bench.ids()
        let ending = try push(
            try bench.onePush(), bench, answeringAgain: .deny, after: { try bench.fold() })
        guard case .unchanged(let report) = ending else {
            Issue.record("\(ending)")
            return
        }
        #expect(report.rejected.count == 1 && report.accepted.isEmpty)
        #expect(try bench.ids() == before)
    }

    @Test func requestIsTheSameTheSecondTime() throws {
        let bench = try bench()
        var request = try bench.onePush()
        request.capabilities = "report-status side-band-64k push-options agent=test"
        request.options = ["a=b", "c"]
        #expect(try push(request, bench) { try bench.fold() }.isPublished)
    }

    @Test func receivingAgainEnds() throws {
        for attempts in 1...3 {
            let bench = try bench()
            let before = try bench.ids()
            let faulty = FaultyStore(
                wrapping: bench.memory,
                [
                    FaultRule(
                        .interleave { _ in
                            do {
                                try bench.push(
                                    bench.onePush(to: "refs/heads/other"), to: bench.memory)
                                try bench.fold()
                            } catch {
                                Issue.record(error)
                            }
                        }, on: [.put], keys: { $0.path.hasSuffix("/pointer") })
                ])
            let ending = try push(
                try bench.onePush(), bench, attempts: attempts, to: faulty, after: {})
            guard case .lost(let report) = ending else {
                Issue.record("\(ending)")
                continue
            }
            #expect(report.rejected.count == 1)
            #expect(faulty.faultCount == attempts)
            #expect(try bench.ids()["refs/heads/main"] == before["refs/heads/main"])
            #expect(try bench.leftovers().isEmpty)
        }
    }

    @Test(arguments: [
        Fault.dropReply, .resend, .failAfterApplying, .dropRequest, .late(requests: 1),
    ])
    func doubtfulAnswersAreSettled(fault: Fault) throws {
        let bench = try bench()
        let faulty = FaultyStore(
            wrapping: bench.memory,
            [FaultRule(fault, keys: { $0.path.hasSuffix("/pointer") }, limit: 2)])
        let commit = try bench.onePush()
        #expect(try push(commit, bench, to: faulty) { try bench.fold() }.isPublished)
        faulty.landLate()
        #expect(try bench.ids()["refs/heads/main"] == commit.commands[0].new)
        _ = try bench.check()
    }
}
