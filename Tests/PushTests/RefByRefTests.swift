@testable import Repository
@testable import Push
import Bytes
import GitProtocol
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

/// Of a push that lost, the refs that moved are refused, and the others are published.
@Suite("Losing a push ref by ref")
struct RefByRefTests {
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

    @Test(
        "what moved is refused, the rest is published, with options and all",
        arguments: [
            "report-status", "report-status-v2", "report-status side-band-64k",
        ])
    func partly(capabilities: String) throws {
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

    @Test("of an atomic push every ref is refused, and nothing is swapped")
    func atomic() throws {
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

    @Test("a client that cannot be told which part was done gets none")
    func withoutReport() throws {
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

    @Test("with nothing left nothing is swapped again")
    func nothingLeft() throws {
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

    @Test("a ref of it that has its value already is ok, without another swap")
    func alreadyThere() throws {
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

    @Test("a winner that deleted HEAD's branch: it is not made again, another ref is published")
    func headDeleted() throws {
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

    @Test("what git refused at first stays refused")
    func refusedAtFirst() throws {
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

    @Test(
        "a part is not lost, nor told too early, whatever answers are lost",
        arguments: [
            Fault.dropReply, .resend, .failAfterApplying, .dropRequest, .conflict,
            .late(requests: 1), .late(requests: 3),
        ])
    func doubtfulAnswers(fault: Fault) throws {
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

    @Test("attempts that are used up lose all of it, and change nothing")
    func attemptsUsedUp() throws {
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
