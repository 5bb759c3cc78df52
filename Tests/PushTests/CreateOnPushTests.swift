import GitProtocol
import ObjectStore
import TestBench
import TestSupport
import Testing

@testable import Push
@testable import Repository

/// A push creates the repository that it names, in its own swap, and a push that is refused
/// creates nothing.
@Suite struct CreateOnPushTests {
    /// The state before a push: nothing at all, or the tombstone of a deleted repository.
    enum Beginning: CaseIterable { case absent, tombstone }

    private struct Fixture {
        let bench: Bench
        let parent: Base

        init(_ beginning: Beginning, format: ObjectFormat = .sha1) throws {
            bench = try Bench(format: format)
            switch beginning {
            case .absent:
                bench.memory.plant(nil, at: .pointer(of: bench.repository))
                parent = .nothing(of: bench.repository, after: nil, format)
            case .tombstone:
                try bench.push(bench.onePush(to: "refs/heads/old"))
                try bench.delete()
                guard
                    case .deleted(let tombstone) = try Manifests(bench.memory).resolve(
                        bench.repository)
                else { throw TestFailure("it was not deleted") }
                parent = .nothing(of: bench.repository, after: tombstone, format)
            }
        }

        func push(_ push: PushRequest, attempts: Int = 5) throws -> Bench.Ending {
            try bench.settle(
                bench.receive(push, making: parent), in: bench.queue(), attempts: attempts)
        }

        func commit(
            to names: [String], capabilities: String = "report-status"
        ) throws -> PushRequest {
            try bench.push(
                bench.source.commit(names.joined()), to: names,
                capabilities: capabilities + " object-format=\(bench.format.rawValue)")
        }

        var exists: Bool {
            get throws {
                if case .live = try Manifests(bench.memory).resolve(bench.repository) {
                    return true
                }
                return false
            }
        }
    }

    @Test(arguments: Beginning.allCases)
    func firstPushCreatesOnTopOfWhatExisted(beginning: Beginning) throws {
        for format in [ObjectFormat.sha1, .sha256] {
            let fixture = try Fixture(beginning, format: format)
            let push = try fixture.commit(to: ["refs/heads/main"])
            #expect(try fixture.push(push, attempts: 1).isPublished)
            let manifest = try fixture.bench.published().manifest
            #expect(manifest.parent == fixture.parent.digest)
            #expect(manifest.objectFormat == format && manifest.packs.count == 1)
            #expect(try fixture.bench.ids() == ["refs/heads/main": push.commands[0].new])
            _ = try fixture.bench.check()
        }
    }

    @Test(arguments: [
        (["refs/heads/a", "refs/heads/master", "refs/heads/main"], "refs/heads/main"),
        (["refs/heads/a", "refs/heads/master"], "refs/heads/master"),
        (["refs/tags/t", "refs/heads/b", "refs/heads/a"], "refs/heads/b"),
        (["refs/tags/t"], "refs/heads/main"),
    ])
    func headIsMainOrMasterOrTheFirstBranch(names: [String], head: String) throws {
        let fixture = try Fixture(.absent)
        #expect(try fixture.push(fixture.commit(to: names)).isPublished)
        #expect(try fixture.bench.published().manifest.head.description == head)
        _ = try fixture.bench.check()
    }

    @Test func refusedBranchIsNotHEAD() throws {
        let fixture = try Fixture(.absent)
        var push = try fixture.commit(to: ["refs/heads/main", "refs/heads/a"])
        push.commands[0].old = String(repeating: "1", count: 40)
        #expect(try fixture.push(push).isPublished)
        #expect(try fixture.bench.published().manifest.head.description == "refs/heads/a")
    }

    @Test(arguments: Beginning.allCases)
    func refusedPushCreatesNothing(beginning: Beginning) throws {
        let fixture = try Fixture(beginning)
        let before = try Manifests(fixture.bench.memory).resolve(fixture.bench.repository).latest
        let push = try fixture.commit(to: ["refs/heads/main"])
        let denied = try fixture.bench.receive(push, making: fixture.parent, answering: .deny)
        guard case .unchanged = try fixture.bench.settle(denied, in: fixture.bench.queue()) else {
            Issue.record("it was received")
            return
        }
        var broken = push
        broken.pack = Array(push.pack.dropLast(30))
        _ = try? fixture.push(broken)
        let nothing = PushRequest(
            commands: [(fixture.bench.zero, fixture.bench.zero, "refs/heads/x")],
            capabilities: "report-status delete-refs")
        guard case .unchanged = try fixture.push(nothing) else {
            Issue.record("it was received")
            return
        }
        let after = try Manifests(fixture.bench.memory).resolve(fixture.bench.repository).latest
        #expect(try !fixture.exists && before?.digest == after?.digest)
    }

    @Test(arguments: Beginning.allCases)
    func oneOfTwoFirstPushesCreates(beginning: Beginning) throws {
        for isShared in [false, true] {
            let fixture = try Fixture(beginning)
            let bench = fixture.bench
            let names = ["refs/heads/a", "refs/heads/main", "refs/heads/c", "refs/heads/d"]
            let pushes = try names.map { try fixture.commit(to: [$0]) }
            let queue = bench.queue()
            let endings = try concurrently(names.count) { number in
                try bench.settle(
                    bench.receive(pushes[number], making: fixture.parent),
                    in: isShared ? queue : bench.queue(), attempts: 10)
            }
            #expect(endings.allSatisfy { $0.isPublished })
            #expect(try bench.ids().keys.sorted() == names.sorted())
            let first = try #require(
                try bench.chain().first { $0.manifest.parent == fixture.parent.digest })
            let head = first.manifest.head
            #expect(try bench.published().manifest.head == head, "who creates it chooses")
            #expect(first.manifest.refs[head] != nil)
            _ = try bench.check()
        }
    }

    @Test(arguments: Beginning.allCases)
    func oneOfTwoFirstPushesToABranchIsRefused(beginning: Beginning) throws {
        let fixture = try Fixture(beginning)
        let one = try fixture.commit(to: ["refs/heads/main"])
        let two = try fixture.commit(to: ["refs/heads/main", "refs/heads/b"])
        let reception = try fixture.bench.receive(two, making: fixture.parent)
        #expect(try fixture.push(one).isPublished)
        let ending = try fixture.bench.settle(reception, in: fixture.bench.queue())
        #expect(ending.isPublished && ending.report.acceptedNames == ["refs/heads/b"])
        #expect(Array(ending.report.reasons.keys) == ["refs/heads/main"])
        #expect(try fixture.bench.ids()["refs/heads/main"] == one.commands[0].new)
    }

    @Test func repositoryCreatedInAnotherFormatIsLeftAlone() throws {
        let fixture = try Fixture(.absent)
        let reception = try fixture.bench.receive(
            fixture.commit(to: ["refs/heads/main"]), making: fixture.parent)
        try fixture.bench.publish { $0.objectFormat = .sha256 }
        let ending = try fixture.bench.settle(reception, in: fixture.bench.queue())
        #expect(!ending.isPublished && ending.report.accepted.isEmpty)
        #expect(try fixture.bench.ids().isEmpty)
    }

    @Test(arguments: Beginning.allCases)
    func repositoryDeletedInBetweenIsNotCreatedAgain(beginning: Beginning) throws {
        let fixture = try Fixture(beginning)
        let reception = try fixture.bench.receive(
            fixture.commit(to: ["refs/heads/main"]), making: fixture.parent)
        try fixture.bench.publish { $0 = Manifest(head: $0.head) }
        try fixture.bench.delete()
        let ending = try fixture.bench.settle(reception, in: fixture.bench.queue())
        #expect(!ending.isPublished)
        #expect(try !fixture.exists)
    }

    @Test func pushInFlightLosesToADeletion() throws {
        for isMadeAgain in [false, true] {
            for capabilities in ["report-status", "report-status atomic", ""] {
                let bench = try Bench()
                try bench.push(bench.onePush())
                let reception = try bench.receive(
                    bench.push(
                        bench.source.commit("x"), to: ["refs/heads/b"], capabilities: capabilities))
                try bench.delete()
                if isMadeAgain { try bench.publish { $0 = Manifest(head: $0.head) } }
                let before = try Manifests(bench.memory).resolve(bench.repository).latest
                guard case .lost(let report) = try bench.settle(reception, in: bench.queue())
                else {
                    Issue.record("it was published")
                    continue
                }
                #expect(
                    report.reasons == [
                        "refs/heads/b": "the repository was deleted in the meantime"
                    ])
                let after = try Manifests(bench.memory).resolve(bench.repository).latest
                #expect(before?.digest == after?.digest)
            }
        }
    }
}
