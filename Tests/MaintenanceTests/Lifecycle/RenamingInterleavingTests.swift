import Bytes
import GitProtocol
import ObjectStore
import Posix
import Synchronization
import TestBench
import TestSupport
import Testing

@testable import Hydration
@testable import Maintenance
@testable import Repository

/// Two commands at one repository, in every order of their requests: it never has two names, and is
/// never lost.
@Suite(.tags(.race)) struct RenamingInterleavingTests {
    /// A command on a repository.
    enum Action: String, CaseIterable, Sendable {
        case renameToNew, renameToThird, resumeToNew, resumeToThird, restore, createOld, createNew
        case deleteOld

        /// Whether it makes the repository be there under some name.
        var brings: Bool {
            switch self {
            case .renameToNew, .renameToThird, .resumeToNew, .resumeToThird, .restore: true
            case .createOld, .createNew, .deleteOld: false
            }
        }
    }

    /// How things are before.
    enum Beginning: CaseIterable, Sendable {
        case live
        /// A renaming to the new name was killed after its first step.
        case cutOff
        /// The same, with the new name deleted at some time before.
        case cutOffOntoTombstone
        case deleted
        /// Renamed to the new name, and back.
        case backAgain
    }

    /// The fate of the first command at one of its requests.
    enum Event: CaseIterable, Sendable {
        /// The second one runs from its beginning to its end.
        case interleaved
        /// It is killed there, with that request on its way, which lands after the second.
        case killed
    }

    private let bench: Bench
    private let old: RepositoryName
    private let new: RepositoryName
    private let third: RepositoryName

    init() throws {
        bench = try Bench()
        old = try #require(RepositoryName("owner/old"))
        new = try #require(RepositoryName("owner/new"))
        third = try #require(RepositoryName("owner/third"))
    }

    private func hydration(_ store: any ObjectStore) -> Hydration {
        Hydration(store: store, state: bench.state, git: bench.git, hook: "")
    }

    private func rename(_ to: RepositoryName, in store: any ObjectStore) throws {
        _ = try Renaming(of: old, to: to).run(in: hydration(store), log: Bench.log)
    }

    private func resume(_ to: RepositoryName, in store: any ObjectStore) throws {
        _ = try Renaming(of: old, to: to).resume(in: hydration(store), log: Bench.log)
    }

    private func restore(in store: any ObjectStore, to state: Digest? = nil) throws {
        _ = try Restoration(of: old, to: state).run(in: hydration(store), log: Bench.log)
    }

    private func create(_ name: RepositoryName, in store: any ObjectStore) throws {
        _ = try Creation(repository: name, defaultBranch: nil, objectFormat: nil).run(
            in: Manifests(store))
    }

    private func run(_ action: Action, in store: any ObjectStore) throws {
        switch action {
        case .renameToNew: try rename(new, in: store)
        case .renameToThird: try rename(third, in: store)
        case .resumeToNew: try resume(new, in: store)
        case .resumeToThird: try resume(third, in: store)
        case .restore: try restore(in: store)
        case .createOld: try create(old, in: store)
        case .createNew: try create(new, in: store)
        case .deleteOld: _ = try Deletion(of: old).run(in: Manifests(store))
        }
    }

    /// The repository, known by its only ref.
    private var state: Manifest {
        get throws {
            let id = try #require(ObjectID(Digest(of: [7]).bytes.prefix(40)))
            return Manifest(head: .main, refs: [.main: id])
        }
    }

    private func begin(_ beginning: Beginning) throws -> MemoryStore {
        let memory = MemoryStore()
        if beginning == .cutOffOntoTombstone {
            try create(new, in: memory)
            _ = try Deletion(of: new).run(in: Manifests(memory))
        }
        let swap = Swap(of: old, from: nil, in: Manifests(memory))
        guard case .won = try swap.publish(try state) else { throw TestFailure("not made") }
        switch beginning {
        case .live: break
        case .deleted: _ = try Deletion(of: old).run(in: Manifests(memory))
        case .cutOff, .cutOffOntoTombstone:
            let key = ObjectKey.pointer(of: new)
            let killed = FaultyStore(
                wrapping: memory,
                [
                    FaultRule(.dropRequest, keys: { $0 == key }),
                    FaultRule(.dropRequest, on: [.get], keys: { $0 == key }, sparing: 1),
                ])
            #expect(throws: RenamingFailure.self) { try rename(new, in: killed) }
        case .backAgain:
            try rename(new, in: memory)
            _ = try Renaming(of: new, to: old).run(in: hydration(memory), log: Bench.log)
        }
        return memory
    }

    /// Names under which the repository is.
    private func names(in memory: MemoryStore) throws -> [RepositoryName] {
        let refs = try state.refs
        return try [old, new, third].filter { name in
            guard case .live(let snapshot) = try Manifests(memory).resolve(name) else {
                return false
            }
            return snapshot.manifest.refs == refs
        }
    }

    /// Whether the first command came to its request `number`, at which something happens.
    private func check(
        _ first: Action, _ second: Action, _ beginning: Beginning, _ event: Event, at number: Int
    ) throws -> Bool {
        let memory = try begin(beginning)
        let verbs: Set<FaultRule.Verb> = [.get, .put, .head]
        let isReached = Mutex(false)
        let succeeded = Mutex([Action]())
        let doSecond: @Sendable () -> Void = {
            isReached.withLock { $0 = true }
            if (try? run(second, in: memory)) != nil {
                succeeded.withLock { $0.append(second) }
            }
        }
        let rules: [FaultRule] =
            switch event {
            case .interleaved:
                [FaultRule(.interleave { _ in doSecond() }, on: verbs, sparing: number, limit: 1)]
            case .killed:
                [
                    FaultRule(.late(requests: .max), on: verbs, sparing: number, limit: 1),
                    FaultRule(.dropRequest, on: verbs, sparing: number),
                ]
            }
        let faulty = FaultyStore(wrapping: memory, rules)
        if (try? run(first, in: faulty)) != nil { succeeded.withLock { $0.append(first) } }
        if faulty.faultCount == 0 { return false }
        if event != .interleaved { doSecond() }
        faulty.landLate()

        let what = Comment(
            rawValue: "\(first) and \(second), \(beginning), \(event) at \(number); \(faulty.story)"
        )
        let done = succeeded.withLock { $0 }
        let names = try names(in: memory)
        #expect(names.count <= 1, "\(names): \(what)")
        if first.brings, second.brings, !done.isEmpty {
            #expect(names.count == 1, "\(done) succeeded, \(names): \(what)")
        }
        if names.isEmpty { try recover(memory, what) }
        return true
    }

    /// Brings back a repository that has no name now, and checks that it has one then.
    private func recover(_ memory: MemoryStore, _ what: Comment) throws {
        let last = try #require(try digest(of: state, in: memory), what)
        if case .live = try Manifests(memory).resolve(old) {
            _ = try Deletion(of: old).run(in: Manifests(memory))
        }
        do {
            try restore(in: memory, to: last)
        } catch LifecycleError.renamed(_, let name) {
            // Renamed, and then deleted: it can be restored there.
            _ = try Restoration(of: name).run(in: hydration(memory), log: Bench.log)
        }
        #expect(try names(in: memory).count == 1, what)
    }

    /// The last state of the old name that is the repository.
    private func digest(of state: Manifest, in memory: MemoryStore) throws -> Digest? {
        var next = try Manifests(memory).resolve(old).latest?.digest
        while let here = next {
            let manifest = try Manifests(memory).manifest(here, of: old)
            if manifest.refs == state.refs { return here }
            next = manifest.parent
        }
        return nil
    }

    @Test(
        arguments: Action.allCases,
        Beginning.allCases)
    func everyInterleavingLeavesOneNameAndLosesNothing(first: Action, beginning: Beginning) throws {
        for second in Action.allCases where first.brings || second.brings {
            for event in Event.allCases {
                var number = 0
                while try check(first, second, beginning, event, at: number) { number += 1 }
            }
        }
    }

    @Test func renamedStateIsNotRestoredUnderTheOldName() throws {
        let memory = try begin(.live)
        let last = try #require(try Manifests(memory).resolve(old).latest)
        try rename(new, in: memory)
        for state in [nil, last.digest] {
            #expect(throws: LifecycleError.renamed(old, to: new)) {
                try restore(in: memory, to: state)
            }
        }
        #expect(throws: LifecycleError.renamed(old, to: new)) { try resume(third, in: memory) }
        // So it is with what was made under the old name since.
        try create(old, in: memory)
        _ = try Deletion(of: old).run(in: Manifests(memory))
        #expect(throws: LifecycleError.renamed(old, to: new)) {
            try restore(in: memory, to: last.digest)
        }
        try restore(in: memory)
        // Its later fate does not concern the first one.
        let fourth = try #require(RepositoryName("owner/fourth"))
        try rename(fourth, in: memory)
        #expect(throws: LifecycleError.renamed(old, to: fourth)) { try restore(in: memory) }

        // Deleted there: it is restored there.
        _ = try Deletion(of: new).run(in: Manifests(memory))
        #expect(throws: LifecycleError.renamed(old, to: new)) {
            try restore(in: memory, to: last.digest)
        }
        _ = try Restoration(of: new).run(in: hydration(memory), log: Bench.log)
        // By way of a third name, and back.
        _ = try Renaming(of: new, to: third).run(in: hydration(memory), log: Bench.log)
        #expect(throws: LifecycleError.renamed(old, to: new)) {
            try restore(in: memory, to: last.digest)
        }
        _ = try Renaming(of: third, to: old).run(in: hydration(memory), log: Bench.log)
        _ = try Deletion(of: old).run(in: Manifests(memory))
        try restore(in: memory, to: last.digest)
        #expect(try names(in: memory) == [old])
    }

    @Test func stateIsNotRestoredBesideItsRenamedSuccessor() throws {
        let memory = try begin(.live)
        let first = try #require(try Manifests(memory).resolve(old).latest)
        // A later state, which is restored and then renamed.
        var next = first.manifest
        next.refs[.main] = ObjectID(Digest(of: [8]).bytes.prefix(40))
        guard case .won = try Swap(of: old, from: first, in: Manifests(memory)).publish(next) else {
            throw TestFailure("lost")
        }
        let later = try #require(try Manifests(memory).resolve(old).latest)
        for state in [first, later] {
            _ = try Deletion(of: old).run(in: Manifests(memory))
            try restore(in: memory, to: state.digest)
        }
        try rename(new, in: memory)
        for state in [first, later] {
            #expect(throws: LifecycleError.renamed(old, to: new)) {
                try restore(in: memory, to: state.digest)
            }
        }
        // Another repository under that name is renamed: the first can be restored, once it is free.
        let other = try begin(.live)
        _ = try Deletion(of: old).run(in: Manifests(other))
        try create(old, in: other)
        try rename(new, in: other)
        try restore(in: other, to: first.digest)
        #expect(try names(in: other) == [old])
    }

    @Test func renamingOfAnOlderReleaseIsResumed() throws {
        for isResumed in [true, false] {
            let memory = try begin(.live)
            let last = try #require(try Manifests(memory).resolve(old).latest)
            // Its tombstones name no destination.
            guard
                case .won = try Swap(of: old, from: last, in: Manifests(memory)).publish(
                    .tombstone(for: last.manifest))
            else { throw TestFailure("lost") }
            if isResumed {
                for _ in 0..<2 { try resume(new, in: memory) }
            } else {
                try restore(in: memory)
            }
            #expect(try names(in: memory) == [isResumed ? new : old])
        }
    }

    @Test func destinationOfATombstoneIsReadBack() throws {
        let digest = Digest(of: [1])
        let state = try state
        let tombstone = Manifest.tombstone(
            for: state, movingTo: .init(name: "owner/new", digest: digest))
        let bytes = try tombstone.canonicalBytes()
        let mark = try #require(tombstone.mark)
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == "{\"version\":2,\"head\":\"refs/heads/main\",\"refs\":{},\"packs\":[],"
                + "\"parent\":null,\"to\":[\"owner/new\",\"\(digest)\"],\"mark\":\"\(mark)\"}")
        #expect(try Manifest(parsing: bytes) == tombstone)
        for to in ["1", "[]", "[\"a/b\"]", "[\"a/b\",\"x\"]", "[1,\"\(digest)\"]", "null"] {
            let text = "{\"version\":2,\"head\":\"refs/heads/main\",\"refs\":{},\"packs\":[],"
            #expect(throws: Manifest.Invalid.self) {
                try Manifest(parsing: Array((text + "\"parent\":null,\"to\":\(to)}").utf8))
            }
        }
        // A live state may have such a key; it means nothing.
        let live = "{\"version\":1,\"head\":\"refs/heads/main\",\"refs\":{},\"packs\":[],"
        #expect(
            try Manifest(parsing: Array((live + "\"parent\":null,\"to\":1}").utf8)).destination
                == nil)
    }
}
