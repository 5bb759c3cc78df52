import Bytes
import GitProtocol
import ObjectStore
import TestBench
import TestSupport
import Testing

@testable import Hydration
@testable import Maintenance
@testable import Repository

/// A repository that was renamed back and forth, with pushes in between: an old state of it is not
/// restored beside the name that it has now.
@Suite(.tags(.race)) struct RenamedBackTests {
    private let bench: Bench
    private let memory = MemoryStore()
    private let old: RepositoryName
    private let new: RepositoryName
    private let third: RepositoryName

    init() throws {
        bench = try Bench()
        old = try #require(RepositoryName("owner/old"))
        new = try #require(RepositoryName("owner/new"))
        third = try #require(RepositoryName("owner/third"))
    }

    private var hydration: Hydration {
        Hydration(store: memory, state: bench.state, git: bench.git, hook: "")
    }

    private func rename(_ source: RepositoryName, to target: RepositoryName) throws {
        _ = try Renaming(of: source, to: target).run(in: hydration, log: Bench.log)
    }

    private func delete(_ name: RepositoryName) throws {
        _ = try Deletion(of: name).run(in: Manifests(memory))
    }

    private func restore(_ name: RepositoryName, to state: Digest) throws {
        _ = try Restoration(of: name, to: state).run(in: hydration, log: Bench.log)
    }

    /// Publishes a state with one ref; creates the repository if it is not there.
    @discardableResult
    private func push(_ number: UInt8, to name: RepositoryName) throws -> Digest {
        let before = try Manifests(memory).resolve(name).latest
        var state = Manifest(head: .main)
        if let before, before.manifest.kind == .live { state = before.manifest }
        state.refs[.main] = ObjectID(Digest(of: [number]).bytes.prefix(40))
        guard
            case .won(let next) = try Swap(of: name, from: before, in: Manifests(memory)).publish(
                state)
        else { throw TestFailure("lost") }
        return next.digest
    }

    private var names: [RepositoryName] {
        get throws {
            try [old, new, third].filter {
                if case .live = try Manifests(memory).resolve($0) { true } else { false }
            }
        }
    }

    @Test func stateFromBeforeAReturnIsNotRestored() throws {
        let first = try push(1, to: old)
        try rename(old, to: new)
        try push(2, to: new)
        try rename(new, to: old)
        // It is here, and deleted here: any state of it may be restored.
        try delete(old)
        try restore(old, to: first)
        try push(3, to: old)
        for target in [new, third] {
            try rename(old, to: target)
            #expect(throws: LifecycleError.renamed(old, to: target)) {
                try restore(old, to: first)
            }
            #expect(try names == [target])
            try push(4, to: target)
            try rename(target, to: old)
            try push(5, to: old)
        }
    }

    @Test func anotherRepositoryThatReturnedDoesNotCount() throws {
        let first = try push(1, to: old)
        try rename(old, to: new)
        try push(2, to: new)
        try rename(new, to: third)
        // Another one takes the way back.
        try push(3, to: new)
        try rename(new, to: old)
        try delete(old)
        #expect(throws: LifecycleError.renamed(old, to: new)) { try restore(old, to: first) }
        #expect(try names == [third])
        // Now it comes itself.
        try rename(third, to: new)
        try rename(new, to: old)
        try delete(old)
        try restore(old, to: first)
        #expect(try names == [old])
    }

    @Test func renamingIsNotDoneBecauseTheNewNameIsTaken() throws {
        try push(1, to: old)
        try rename(old, to: new)
        let resumed = Renaming(of: old, to: new)
        let done = try resumed.resume(in: hydration, log: Bench.log)
        #expect(try Manifests(memory).resolve(new).latest?.digest == done.digest)
        try delete(new)
        try push(2, to: new)
        #expect(throws: LifecycleError.present(new, remedy: ".")) {
            try resumed.resume(in: hydration, log: Bench.log)
        }
    }
}
