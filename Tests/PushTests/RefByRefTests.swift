import Bytes
import GitProtocol
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Push
@testable import Repository

/// Of a push that lost, the refs that moved are refused, and the others are published.
@Suite struct RefByRefTests {
    private static let moved = "failed to update ref: another push came first; fetch and try again"

    /// A push to `a` and `b`, received on a state on which `a` is moved before it is published.
    private func race(
        _ bench: Bench, _ capabilities: String, to target: (any ObjectStore)? = nil,
        attempts: Int = 5
    ) throws -> (ending: Bench.Ending, push: PushRequest, winner: String) {
        let parent = try bench.published()
        let push = try bench.push(
            bench.source.commit(Hex.random()), to: ["refs/heads/a", "refs/heads/b"],
            capabilities: capabilities)
        let winner = try bench.onePush(to: "refs/heads/a")
        #expect(try bench.push(winner, to: bench.memory).isPublished)
        let ending = try bench.settle(
            bench.receive(push, on: parent), in: bench.queue(target), attempts: attempts)
        return (ending, push, winner.commands[0].new)
    }

    @Test(arguments: [
        "report-status", "report-status-v2", "report-status side-band-64k",
    ])
    func movedRefsAreRefusedAndTheRestIsPublished(capabilities: String) throws {
        let bench = try Bench()
        let (ending, push, winner) = try race(bench, capabilities)
        #expect(ending.isPublished)
        #expect(ending.report.reasons == ["refs/heads/a": Self.moved])
        #expect(ending.report.acceptedNames == ["refs/heads/b"])
        #expect(
            try bench.ids() == ["refs/heads/a": winner, "refs/heads/b": push.commands[1].new])
        let told = try PushReport(parsing: ending.report.bytes)
        #expect(told.reasons == ending.report.reasons && told.accepted == ending.report.accepted)
        _ = try bench.check()
    }

    @Test func atomicPushSwapsNothing() throws {
        let bench = try Bench()
        let before = bench.memory.counts.puts
        let (ending, _, winner) = try race(bench, "report-status atomic")
        guard case .lost(let report) = ending else {
            Issue.record("\(ending)")
            return
        }
        #expect(
            report.reasons == [
                "refs/heads/a": Self.moved, "refs/heads/b": "atomic push failure",
            ])
        #expect(try bench.ids() == ["refs/heads/a": winner])
        // Four of the winner; of ours the pack, its index, a manifest, and the swap that was lost.
        #expect(bench.memory.counts.puts - before == 8)
    }

    @Test func clientWithoutAReportGetsNoPart() throws {
        for capabilities in ["", "side-band-64k"] {
            let bench = try Bench()
            let (ending, _, winner) = try race(bench, capabilities)
            guard case .lost = ending else {
                Issue.record("\(ending)")
                continue
            }
            #expect(try bench.ids() == ["refs/heads/a": winner])
        }
    }

    @Test func nothingRemainingSwapsNothing() throws {
        let bench = try Bench()
        let parent = try bench.published()
        let push = try bench.onePush(to: "refs/heads/a")
        try bench.push(bench.onePush(to: "refs/heads/a"))
        let log = BatchLog(bench.memory)
        let ending = try bench.settle(bench.receive(push, on: parent), in: bench.queue(log))
        #expect(ending.report.reasons == ["refs/heads/a": Self.moved])
        let swaps = log.batches.filter { $0 == ["write 'repos/owner/repo/pointer'"] }
        #expect(swaps.count == 1)
    }

    @Test func refWithItsValueIsOkWithoutASwap() throws {
        let bench = try Bench()
        let parent = try bench.published()
        let names = ["refs/heads/a", "refs/heads/b"]
        let commit = try bench.source.commit("one")
        #expect(try bench.push(bench.push(commit, to: names + ["refs/heads/c"])).isPublished)
        let tip = try bench.published().digest
        let ending = try bench.reapplyingPush(bench.push(commit, to: names), on: parent)
        #expect(ending.digest == tip)
        #expect(ending.report.rejected.isEmpty && ending.report.accepted.count == 2)
        #expect(try bench.published().digest == tip)
    }

    @Test func deletedHEADIsNotCreatedAgain() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let parent = try bench.published()
        let main = try #require(try bench.ids()["refs/heads/main"])
        let commit = try bench.source.commit("next", parent: main)
        var push = try bench.push(commit, to: ["refs/heads/main", "refs/heads/b"])
        push.commands[0].old = main
        try bench.publish { $0.refs[.main] = nil }
        let ending = try bench.reapplyingPush(push, on: parent)
        #expect(ending.isPublished && ending.report.reasons == ["refs/heads/main": Self.moved])
        #expect(try bench.ids() == ["refs/heads/b": commit])
        #expect(try bench.published().manifest.head == .main)
    }

    @Test func firstRefusalsStay() throws {
        let bench = try Bench()
        let parent = try bench.published()
        var push = try bench.push(
            bench.source.commit("one"), to: ["refs/heads/a", "refs/heads/b", "refs/heads/c"])
        push.commands[2].old = String(repeating: "1", count: 40)
        try bench.push(bench.onePush(to: "refs/heads/a"))
        let ending = try bench.reapplyingPush(push, on: parent)
        #expect(ending.isPublished)
        #expect(Set(ending.report.reasons.keys) == ["refs/heads/a", "refs/heads/c"])
        #expect(ending.report.reasons["refs/heads/a"] == Self.moved)
        #expect(ending.report.acceptedNames == ["refs/heads/b"])
    }

    @Test(arguments: [
        Fault.dropReply, .resend, .failAfterApplying, .dropRequest, .conflict,
        .late(requests: 1), .late(requests: 3),
    ])
    func partialPushSurvivesDoubtfulAnswers(fault: Fault) throws {
        let bench = try Bench()
        let faulty = FaultyStore(
            wrapping: bench.memory,
            [FaultRule(fault, keys: { $0.path.hasSuffix("/pointer") }, limit: 3)])
        let (ending, push, winner) = try race(
            bench, "report-status", to: faulty, attempts: 10)
        faulty.landLate()
        #expect(ending.isPublished, "\(faulty.story)")
        #expect(
            try bench.ids() == ["refs/heads/a": winner, "refs/heads/b": push.commands[1].new])
    }

    @Test func attemptsUsedUpChangeNothing() throws {
        for attempts in 1...3 {
            let bench = try Bench()
            let faulty = FaultyStore(
                wrapping: bench.memory,
                [
                    FaultRule(
                        .interleave { _ in
                            do {
                                try bench.push(
                                    bench.onePush(to: "refs/heads/x\(Hex.random())"),
                                    to: bench.memory)
                            } catch {
                                Issue.record(error)
                            }
                        }, on: [.put], keys: { $0.path.hasSuffix("/pointer") })
                ])
            let push = try bench.push(
                bench.source.commit("one"), to: ["refs/heads/a", "refs/heads/b"])
            let ending = try bench.settle(
                bench.receive(push), in: bench.queue(faulty), attempts: attempts)
            guard case .lost(let report) = ending else {
                Issue.record("\(ending)")
                continue
            }
            #expect(report.rejected.count == 2 && report.accepted.isEmpty)
            #expect(faulty.faultCount == attempts)
            #expect(try bench.ids().count == attempts)
        }
    }
}
