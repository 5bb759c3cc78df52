import Bytes
import GitProtocol
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Push
@testable import Repository

/// Publishing a push.
@Suite struct PublishingTests {
    @Test(arguments: [
        ObjectFormat.sha1, .sha256,
    ])
    func pushTakesFourWritesInTwoSteps(format: ObjectFormat) throws {
        let bench = try Bench(format: format)
        for round in 0..<3 {
            let log = BatchLog(bench.memory)
            guard case .live(let snapshot) = try Manifests(log).resolve(bench.repository) else {
                throw TestFailure("the repository is gone")
            }
            #expect(log.batches.map(\.count) == [1, 1])
            let push = try bench.onePush()
            bench.memory.resetCounts()
            let reception = try bench.receive(push, on: snapshot)
            #expect(
                bench.memory.counts == .init(gets: 2 * round),
                "each pack and each index once, and nothing else")
            bench.memory.resetCounts()
            let writes = BatchLog(bench.memory)
            #expect(try bench.settle(reception, to: writes).isPublished)
            #expect(bench.memory.counts == .init(puts: 4))
            #expect(writes.batches.map(\.count) == [3, 1])
            #expect(writes.batches.last == ["write 'repos/owner/repo/pointer'"])
            #expect(try bench.check() == "\(push.commands[0].new) refs/heads/main")
        }
        #expect(try bench.published().manifest.packs.count == 3)
        #expect(try bench.leftovers().isEmpty)
    }

    @Test func manifestDerivesFromTheParentOfThePush() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        let parent = try bench.published()
        let push = try bench.onePush(to: "refs/heads/é")
        #expect(try bench.push(push).isPublished)
        let after = try bench.published()
        #expect(after.manifest.parent == parent.digest)
        #expect(after.manifest.packs.isStrictSuperset(of: parent.manifest.packs))
        #expect(after.manifest.head == parent.manifest.head)
        var expected = parent.manifest.refs
        expected[try #require(RefName("refs/heads/é"))] = ObjectID(
            Array(push.commands[0].new.utf8))
        #expect(after.manifest.refs == expected)
        #expect(after.manifest.peeled == nil)
    }

    @Test func keptPackIsStoredWithItsIndex() throws {
        let bench = try Bench()
        try bench.push(bench.onePush("one"))
        let before = try bench.published().manifest.packs
        // A thin pack, which git completes.
        try bench.push(bench.onePush("two"))
        let added = try #require(
            try bench.published().manifest.packs.subtracting(before).first)
        let pack = try #require(bench.memory.bytes(at: .pack(added)))
        #expect(Digest(of: pack) == added)
        let scratch = try TemporaryDirectory()
        try Files.write(pack, to: scratch.path + "/p.pack")
        try Files.write(
            try #require(bench.memory.bytes(at: .packIndex(added))), to: scratch.path + "/p.idx")
        try Command.runGit(["verify-pack", scratch.path + "/p.idx"])
    }

    @Test func oddNamesAndNestedTagsArePublishedUnchanged() throws {
        let bench = try Bench()
        let commit = try bench.source.commit("one")
        let tag = try bench.source.tag("v1", of: commit)
        let nested = try bench.source.tag("v2", of: tag)
        let blob = try bench.source.run(["rev-parse", "\(commit):file"]).line
        let names = [
            ("refs/heads/\u{e9}", commit), ("refs/heads/e\u{301}", commit),
            ("refs/heads/feature/#12", commit), ("refs/heads/v1.0+b", commit),
            ("refs/heads/a\"b", commit), ("refs/tags/v1", tag), ("refs/tags/v2", nested),
            ("refs/tags/light", commit), ("refs/notes/x", commit), ("refs/tags/blob", blob),
        ]
        let push = PushRequest(
            commands: names.map { (bench.zero, $0.1, $0.0) },
            pack: try bench.source.pack([nested, blob]))
        #expect(try bench.push(push).isPublished)
        let manifest = try bench.published().manifest
        #expect(Set(manifest.refs.keys.map(\.bytes)) == Set(names.map { Array($0.0.utf8) }))
        let peeled = try #require(manifest.peeled)
        #expect(peeled.count == 2)
        #expect(peeled.values.allSatisfy { $0.hex == commit }, "fully, not one level")
        let listed = try bench.check()
        #expect(listed.contains("\(commit) refs/tags/v2^{}"))
    }

    @Test func unchangedPushWritesNothing() throws {
        let bench = try Bench()
        let push = try bench.onePush()
        try bench.push(push)
        let commit = push.commands[0].new
        bench.memory.resetCounts()
        for command in [
            (commit, commit, "refs/heads/main"),  // to what it is
            (bench.zero, commit, "refs/heads/main"),  // creates what exists
        ] {
            let ending = try bench.push(
                PushRequest(commands: [command], pack: try bench.source.pack([commit])))
            guard case .unchanged = ending else {
                Issue.record("\(ending)")
                continue
            }
        }
        #expect(bench.memory.counts.puts == 0)
    }

    @Test func deletionStoresNoPack() throws {
        let bench = try Bench()
        try bench.push(bench.onePush())
        try bench.push(bench.onePush(to: "refs/heads/other"))
        let refs = try bench.published().manifest.refs
        func id(_ name: String) -> String {
            refs.first { $0.key.description == name }?.value.hex ?? ""
        }
        bench.memory.resetCounts()
        let ending = try bench.push(
            PushRequest(commands: [(id("refs/heads/other"), bench.zero, "refs/heads/other")]))
        #expect(ending.isPublished)
        #expect(bench.memory.counts.puts == 2)
        #expect(try bench.published().manifest.refs.count == 1)
        let refused = try bench.push(
            PushRequest(commands: [(id("refs/heads/main"), bench.zero, "refs/heads/main")]))
        guard case .unchanged(let report) = refused else {
            Issue.record("\(refused)")
            return
        }
        #expect(report.rejected.count == 1)
    }

    @Test func refusedRefsDoNotHinderTheOthers() throws {
        let bench = try Bench()
        let commit = try bench.source.commit("one")
        let stale = try bench.source.commit("two")
        let commands = [
            (bench.zero, commit, "refs/heads/good"), (stale, commit, "refs/heads/bad"),
        ]
        var push = PushRequest(commands: commands, pack: try bench.source.pack([commit]))
        #expect(try bench.push(push).isPublished)
        #expect(
            try bench.published().manifest.refs.keys.map(\.description) == ["refs/heads/good"])

        push.commands[0].name = "refs/heads/better"
        push.capabilities += " atomic"
        guard case .unchanged(let report) = try bench.push(push) else {
            Issue.record("an atomic push went through in part")
            return
        }
        #expect(report.rejected.count == 2 && report.accepted.isEmpty)
        #expect(try bench.published().manifest.refs.count == 1)
    }

    @Test func pushOptionsAndPlainClientsAreServed() throws {
        let bench = try Bench()
        for capabilities in ["report-status", "", "report-status-v2 push-options", "quiet"] {
            var push = try bench.onePush()
            push.capabilities = capabilities
            if capabilities.contains("options") { push.options = ["a=b", "c"] }
            #expect(try bench.push(push).isPublished, "\(capabilities)")
        }
    }

    @Test func olderStateIsCompletedWithPeeledRefs() throws {
        let bench = try Bench()
        let commit = try bench.source.commit("one")
        let tag = try bench.source.tag("v1", of: commit)
        try bench.push(
            PushRequest(
                commands: [
                    (bench.zero, commit, "refs/heads/main"), (bench.zero, tag, "refs/tags/v1"),
                ], pack: try bench.source.pack([tag])))
        let snapshot = try bench.published()
        let text = String(decoding: try snapshot.manifest.canonicalBytes(), as: UTF8.self)
        let cut = try #require(text.range(of: ",\"peeled\""))
        let old = Array((text[..<cut.lowerBound] + "}").utf8)
        bench.memory.plant(old, at: .manifest(Digest(of: old)))
        bench.memory.plant(Digest(of: old).bytes, at: .pointer(of: bench.repository))
        #expect(try bench.published().manifest.peeled == nil)
        #expect(try bench.check().contains("\(commit) refs/tags/v1^{}"))
        #expect(try bench.push(bench.onePush()).isPublished)
        #expect(try bench.published().manifest.peeled?.values.map(\.hex) == [commit])
    }
}

extension StringProtocol {
    /// The place where a text first occurs.
    fileprivate func range(of text: String) -> Range<Index>? { ranges(of: text).first }
}
