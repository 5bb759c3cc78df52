import Bytes
import Git
import GitProtocol
import Glibc
import Hydration
import Logging
import Maintenance
import ObjectStore
import Policy
import Posix
import Repository
import TestSupport
import Testing

@testable import Gateway

/// From a request to its answer, with real git on a store in memory: success is reported only for
/// refs that are published.
@Suite struct ResponderPushTests {
    private static let pointer: @Sendable (ObjectKey) -> Bool = { $0.path.hasSuffix("/pointer") }

    final class Site: Sendable {
        let memory: MemoryStore
        let source: GitSource
        let name: RepositoryName
        private let scratch: TemporaryDirectory
        let responder: Responder

        init(
            on memory: MemoryStore = MemoryStore(), git: GitProgram? = nil,
            gitTime: Duration = .seconds(60),
            keepAlive: Duration = .zero, attempts: Int = 1, creation: Creation.Outcome? = .created,
            missingRepository: Responder.Limits.MissingRepository = .isNotFound,
            log: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            around: (MemoryStore) -> any ObjectStore = { $0 }
        ) throws {
            signal(SIGPIPE, SIG_IGN)
            self.memory = memory
            scratch = try TemporaryDirectory()
            source = try GitSource()
            name = try #require(RepositoryName("owner/repo"))
            if creation == .created {
                _ = try Creation(repository: name, defaultBranch: nil, objectFormat: nil).run(
                    in: Manifests(memory))
            }
            let git =
                try git
                ?? #require(GitProgram(searching: String(cString: getenv("PATH"))))
            let store = around(memory)
            responder = Responder(
                hydration: Hydration(
                    store: store, state: try StateDirectory(path: scratch.path), git: git,
                    hook: try Programs.buildDirectory() + "/git-s3-backend-hook"),
                rule: AccessRule(),
                limits: .init(
                    git: 1, gitTime: gitTime, pushKeepAlive: keepAlive,
                    pushAttempts: attempts, missingRepository: missingRepository),
                log: log)
        }

        func manifest() throws -> Manifest {
            guard case .live(let snapshot) = try Manifests(memory).resolve(name) else {
                throw TestFailure("the repository is gone")
            }
            return snapshot.manifest
        }

        func branch(_ name: String) throws -> String? {
            try manifest().refs.first { $0.key.description == name }?.value.hex
        }

        /// A push of a new commit.
        func request(
            _ capabilities: String, to names: [String] = ["refs/heads/main"], old: String? = nil
        ) throws -> (commit: String, body: [UInt8]) {
            let commit = try source.commit(Hex.random())
            var body: [UInt8] = []
            for (index, name) in names.enumerated() {
                let zero = String(repeating: "0", count: 40)
                let line = "\(index == 0 ? zero : old ?? zero) \(commit) \(name)"
                PktLine.append(
                    Array((index == 0 ? line + "\0\(capabilities)" : line).utf8), to: &body)
            }
            return (commit, body + PktLine.flushBytes + (try source.pack([commit])))
        }

        func push(
            _ body: [UInt8], user: String = "somebody", length: Int? = nil,
            failing: @escaping @Sendable (Int) -> Bool = { _ in false }
        ) -> FakeConnection {
            let connection = FakeConnection([body], failing: failing)
            responder.respond(
                to: .with([
                    "REQUEST_METHOD": "POST", "PATH_INFO": "/owner/repo.git/git-receive-pack",
                    "CONTENT_TYPE": "application/x-git-receive-pack-request",
                    "REMOTE_USER": user, "CONTENT_LENGTH": length.map(String.init) ?? "",
                ]), on: connection)
            return connection
        }

        /// Requests the `info/refs` of a service.
        func advertisement(of service: String, user: String = "somebody") -> FakeConnection {
            let connection = FakeConnection()
            responder.respond(
                to: .with([
                    "REQUEST_METHOD": "GET", "PATH_INFO": "/owner/repo.git/info/refs",
                    "QUERY_STRING": "service=\(service)", "REMOTE_USER": user,
                ]), on: connection)
            return connection
        }

        /// Publishes a changed state, as another writer.
        func publish(
            with writes: [ObjectWrite] = [], _ change: (inout Manifest) throws -> Void
        ) throws {
            let base = try Manifests(memory).resolve(name).latest
            var manifest = base?.manifest ?? Manifest(head: .main)
            try change(&manifest)
            let swap = Swap(of: name, from: base, in: Manifests(memory))
            guard case .won = try swap.publish(manifest, with: writes) else {
                throw TestFailure("a swap was lost")
            }
        }
    }

    @Test(arguments: [
        "report-status", "report-status-v2", "report-status side-band-64k", "side-band-64k", "",
    ])
    func successIsReportedAfterPublishing(capabilities: String) throws {
        let site = try Site()
        let (commit, body) = try site.request(capabilities)
        let answer = site.push(body)
        #expect(answer.status == 200)
        #expect(answer.text.contains("ok refs/heads/main") == capabilities.contains("report"))
        #expect(try site.branch("refs/heads/main") == commit)
    }

    @Test(arguments: [
        "report-status", "report-status side-band-64k", "side-band-64k", "",
    ])
    func lostSwapIsNeverASuccess(capabilities: String) throws {
        for keepAlive in [Duration.zero, .milliseconds(20)] {
            let site = try Site(keepAlive: keepAlive) { memory in
                FaultyStore(
                    wrapping: memory,
                    [
                        FaultRule(
                            .interleave { store in
                                usleep(300_000)
                                Self.advance(store)
                            }, keys: Self.pointer, limit: 1)
                    ])
            }
            let (_, body) = try site.request(capabilities)
            let answer = site.push(body)
            let hasBegun = keepAlive != .zero && capabilities.contains("side-band")
            #expect(answer.status == (hasBegun ? 200 : 409))
            #expect(!answer.text.contains("ok refs/heads/main"))
            if hasBegun {
                #expect(
                    capabilities.contains("report")
                        ? answer.text.contains("ng refs/heads/main") : answer.text.contains("\u{3}")
                )
            }
            #expect(try site.branch("refs/heads/main") == nil)
        }
    }

    /// Another writer's push.
    private static func advance(_ store: any ObjectStore) {
        do {
            guard let name = RepositoryName("owner/repo"), let head = RefName("refs/heads/trunk"),
                case .live(let snapshot) = try Manifests(store).resolve(name)
            else { throw TestFailure("nothing to advance") }
            let body = ObjectBody.bytes(
                try Manifest(head: head, parent: snapshot.digest).canonicalBytes())
            try store.write([.manifest(body)])
            _ = try store.advancePointer(of: name, expecting: snapshot.etag, to: body.digest) { _ in
                .excludesOurs
            }
        } catch {
            Issue.record(error)
        }
    }

    @Test func undeterminedSwapIsReportedAsUnknown() throws {
        for keepAlive in [Duration.zero, .milliseconds(20)] {
            let site = try Site(keepAlive: keepAlive) { memory in
                FaultyStore(
                    wrapping: memory,
                    [
                        FaultRule(.delay(.milliseconds(300)), keys: Self.pointer, limit: 1),
                        FaultRule(.dropReply, keys: Self.pointer),
                        FaultRule(.dropRequest, on: [.get], keys: Self.pointer, sparing: 1),
                    ])
            }
            let (_, body) = try site.request("report-status side-band-64k")
            let answer = site.push(body)
            let text = answer.text
            if text.contains("ok refs/heads/main") {
                #expect(try site.branch("refs/heads/main") != nil)
            } else {
                #expect(
                    text.contains("may have been applied") && !text.contains("Nothing has changed"))
            }
        }
    }

    @Test(arguments: [
        "", "side-band-64k",
    ])
    func clientWithoutAReportGetsAllOrNothing(capabilities: String) throws {
        let site = try Site()
        let stale = String(repeating: "1", count: 40)
        let (_, body) = try site.request(
            capabilities, to: ["refs/heads/main", "refs/heads/b"], old: stale)
        #expect(site.push(body).status == 403)
        #expect(try site.manifest().refs.isEmpty)
        // With a report each ref has its own result.
        let (commit, told) = try site.request(
            "report-status", to: ["refs/heads/main", "refs/heads/b"], old: stale)
        let answer = site.push(told)
        #expect(
            answer.text.contains("ok refs/heads/main") && answer.text.contains("ng refs/heads/b"))
        #expect(try site.branch("refs/heads/main") == commit)
    }

    @Test func unsafeNameIsRefusedForEveryKindOfClient() throws {
        let site = try Site()
        for (capabilities, status) in [("report-status", 200), ("", 403), ("side-band-64k", 403)] {
            let answer = site.push(try site.request(capabilities, to: ["refs/heads/a b"]).body)
            #expect(answer.status == status && answer.isDrained)
            #expect(!answer.text.contains("ok refs"))
        }
        #expect(try site.manifest().refs.isEmpty)
    }

    @Test func pushWithoutAUserOrAWholeBodyChangesNothing() throws {
        let site = try Site()
        let (_, body) = try site.request("report-status")
        #expect(site.push(body, user: "").status == 403)
        #expect(site.push(body, length: body.count + 1).status == 400)
        for count in stride(from: 1, to: body.count, by: 29) {
            let answer = site.push(Array(body.prefix(count)), length: body.count)
            #expect(answer.status == 400, "\(count)")
        }
        #expect(try site.manifest().refs.isEmpty)
        #expect(site.push(body, length: body.count).status == 200)
    }

    @Test func unreachableStoreIsStatus503() throws {
        let site = try Site { memory in
            FaultyStore(
                wrapping: memory,
                [FaultRule(.unavailable, keys: { $0.path.hasPrefix("packs/") })])
        }
        let answer = site.push(try site.request("report-status").body)
        #expect(answer.status == 503 && answer.text.contains("Retry-After"))
        #expect(try site.manifest().refs.isEmpty)
    }

    @Test(arguments: 0...3)
    func unwritableAnswerDoesNotUndoAPush(failing: Int) throws {
        let site = try Site()
        let (commit, body) = try site.request("report-status side-band-64k")
        let answer = site.push(body) { $0 == failing }
        #expect(try site.branch("refs/heads/main") == commit)
        #expect(!answer.text.contains("ng refs/heads/main"))
    }

    @Test func firstLineFilledToItsEndIsRefused() throws {
        let site = try Site()
        let zero = String(repeating: "0", count: 40)
        let name = "refs/heads/" + String(repeating: "a", count: 65_420)
        let line = Array("\(zero) \(String(repeating: "1", count: 40)) \(name)".utf8)
        var body: [UInt8] = []
        PktLine.append(line.prefix(PktLine.maximumPayload), to: &body)
        #expect(site.push(body + PktLine.flushBytes).status == 400)
    }
}
