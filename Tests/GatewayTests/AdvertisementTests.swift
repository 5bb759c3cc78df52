import Bytes
import GitProtocol
import Glibc
import Logging
import ObjectStore
import Policy
import Posix
import TestSupport
import Testing

@testable import Cache
@testable import Fetch
@testable import Gateway
@testable import Git
@testable import Hydration
@testable import Repository

/// The advertisement of a repository's refs, compared byte for byte with that of the installed git
/// for a repository with the same refs.
@Suite struct AdvertisementTests {
    /// A responder with generated repositories, and a git repository for each of them.
    private final class Comparison {
        let pool: ObjectPool
        let memory = MemoryStore()
        let state: StateDirectory
        let git: GitProgram
        private let scratch: TemporaryDirectory
        private let responder: Responder

        init(_ format: ObjectFormat) throws {
            signal(SIGPIPE, SIG_IGN)
            pool = try ObjectPool(format)
            scratch = try TemporaryDirectory()
            state = try StateDirectory(path: scratch.path + "/state")
            git = try #require(GitProgram(searching: String(cString: getenv("PATH"))))
            responder = Responder(
                hydration: Hydration(store: memory, state: state, git: git, hook: ""),
                rule: AccessRule(), limits: .init(git: 2, gitTime: .seconds(60)),
                log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            memory.plant(pool.pack, at: .pack(Digest(of: pool.pack)))
            memory.plant(pool.index, at: .packIndex(Digest(of: pool.pack)))
            try Files.write(pool.pack, to: scratch.path + "/pack")
            try Files.write(pool.index, to: scratch.path + "/idx")
        }

        /// How git's repository stores its refs.
        enum Backend { case loose, packed }

        /// git's own repository.
        func repository(_ generated: GeneratedRefs, _ backend: Backend) throws -> Workspace {
            let workspace = try Workspace.empty(
                head: generated.head, format: pool.format, in: state)
            let base = workspace.packDirectory + "/pack-\(Digest(of: pool.pack))"
            try check("link", base) { link(scratch.path + "/pack", base + ".pack") }
            try check("link", base) { link(scratch.path + "/idx", base + ".idx") }
            // Without peeled values, so that git has to determine them.
            let unpeeled = Manifest(
                head: generated.head, refs: generated.refs, peeled: nil, objectFormat: pool.format)
            switch backend {
            case .packed:
                try Files.write(PackedRefs(unpeeled).bytes, to: workspace.path + "/packed-refs")
            case .loose:
                let commands = generated.refs.flatMap { name, id in
                    Array("create ".utf8) + name.bytes + Array(" \(id)\n".utf8)
                }
                try Command.runGit(["update-ref", "--stdin"], in: workspace.path, input: commands)
            }
            return workspace
        }

        /// Publishes the state that a push of these refs would publish, or that an older release
        /// would have published.
        func publish(
            _ generated: GeneratedRefs, peeled: [RefName: ObjectID]?, as name: String
        ) throws {
            func entries(_ map: [RefName: ObjectID]) -> [(name: [UInt8], id: String)] {
                map.map { ($0.key.bytes, $0.value.hex) }
            }
            let bytes = ManifestFields(
                version: 1, head: generated.head.bytes, refs: entries(generated.refs),
                packs: [ObjectKey.pack(Digest(of: pool.pack)).path], parent: nil,
                peeled: peeled.map(entries),
                objectFormat: pool.format == .sha1 ? nil : pool.format.rawValue
            ).canonicalBytes
            let name = try #require(RepositoryName(name))
            memory.plant(bytes, at: .manifest(Digest(of: bytes)))
            memory.plant(Digest(of: bytes).bytes, at: .pointer(of: name))
        }

        /// The responder's advertisement, without its first pkt-line.
        func advertisement(
            of name: String, _ service: GitService, _ version: ProtocolVersion
        ) throws -> [UInt8] {
            let connection = FakeConnection()
            responder.respond(
                to: .with([
                    "REQUEST_METHOD": "GET", "PATH_INFO": "/\(name)/info/refs",
                    "QUERY_STRING": "service=git-\(service.rawValue)", "REMOTE_USER": "somebody",
                    "HTTP_GIT_PROTOCOL": version.header,
                ]), on: connection)
            try #require(connection.status == 200, "\(connection.text)")
            let heading = Array("# service=git-\(service.rawValue)\n".utf8)
            guard service == .receivePack || version != .v2 else { return connection.body }
            var expected: [UInt8] = []
            PktLine.append(heading, to: &expected)
            expected += PktLine.flushBytes
            try #require(connection.body.starts(with: expected))
            return Array(connection.body.dropFirst(expected.count))
        }

        /// The responder's answer to a protocol v2 request.
        func answer(to body: [UInt8], of name: String) throws -> [UInt8] {
            let connection = respond(to: body, of: name)
            try #require(connection.status == 200, "\(connection.text)")
            return connection.body
        }

        func respond(to body: [UInt8], of name: String) -> FakeConnection {
            let chunks = stride(from: 0, to: body.count, by: 8192).map {
                Array(body[$0..<min($0 + 8192, body.count)])
            }
            let connection = FakeConnection(chunks)
            responder.respond(
                to: .with([
                    "REQUEST_METHOD": "POST", "PATH_INFO": "/\(name)/git-upload-pack",
                    "CONTENT_TYPE": "application/x-git-upload-pack-request",
                    "CONTENT_LENGTH": "\(body.count)", "HTTP_GIT_PROTOCOL": "version=2",
                ]), on: connection)
            return connection
        }

        func gitAdvertisement(
            of workspace: borrowing Workspace, _ service: GitService,
            _ version: ProtocolVersion
        ) throws -> [UInt8] {
            let client = GitProgram.Client(user: "", address: "", protocolVersion: version.header)
            return try git.advertisement(
                of: service, in: workspace, for: client, limits: .none)
        }

        /// git's answers to protocol v2 requests, all on one connection.
        func gitAnswers(
            to bodies: [[UInt8]], in workspace: borrowing Workspace
        ) throws -> [[UInt8]] {
            let output = try Self.uploadPack(
                in: workspace.path, input: bodies.flatMap { $0 } + PktLine.flushBytes
            ).run().checked().output
            // The first part is the advertisement.
            let parts = try Self.parts(of: output)
            try #require(parts.count == bodies.count + 1)
            return Array(parts.dropFirst())
        }

        /// git's answer to a request; nil if git refuses it.
        func gitAnswer(to body: [UInt8], in workspace: borrowing Workspace) throws -> [UInt8]? {
            let run = try Self.uploadPack(
                ["--stateless-rpc"], in: workspace.path, input: body
            ).run()
            return run.succeeded ? run.output : nil
        }

        private static func uploadPack(
            _ options: [String] = [], in path: String, input: [UInt8]
        ) throws -> Command {
            try Command.git(
                ["upload-pack"] + options + [path], input: input,
                environment: ["GIT_PROTOCOL": "version=2", "GIT_NO_REPLACE_OBJECTS": "1"])
        }

        /// Splits pkt-lines after each flush.
        private static func parts(of bytes: [UInt8]) throws -> [[UInt8]] {
            var parts: [[UInt8]] = []
            var (start, end) = (0, 0)
            while end < bytes.count {
                switch try PktLine.parseHeader(bytes[end..<end + 4]) {
                case .payload(let length): end += length + 4
                case .flush:
                    end += 4
                    parts.append(Array(bytes[start..<end]))
                    start = end
                default: end += 4
                }
            }
            return parts
        }
    }

    private func expectEqual(
        _ ours: [UInt8], _ gits: [UInt8], _ what: @autoclosure () -> String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        guard ours != gits else { return }
        // Only the first line that differs: there can be thousands.
        let (our, git) = (ours.split(separator: 0x0a), gits.split(separator: 0x0a))
        let index =
            zip(our, git).enumerated().first { $1.0 != $1.1 }?.offset
            ?? min(our.count, git.count)
        func line(_ lines: [ArraySlice<UInt8>]) -> String {
            index < lines.count ? String(decoding: lines[index], as: UTF8.self) : "nothing"
        }
        Issue.record(
            "\(what()), line \(index): \(line(our)), but git: \(line(git))",
            sourceLocation: sourceLocation)
    }

    /// 320 sets of refs, 16 for each case.
    @Test(arguments: 0..<20)
    func answersEqualGitsForGeneratedRepositories(chunk: Int) throws {
        let format: ObjectFormat = chunk % 4 == 3 ? .sha256 : .sha1
        let comparison = try Comparison(format)
        for seed in chunk * 16..<(chunk + 1) * 16 {
            let refs = try GeneratedRefs(seed: UInt64(seed), from: comparison.pool)
            let workspace = try comparison.repository(
                refs, seed % 2 == 0 && refs.refs.count < 100 ? .loose : .packed)
            let peeled = try WorkspaceRefs.read(from: workspace, git: comparison.git, limits: .none)
                .peeled
            let name = "owner/r\(seed)"
            try comparison.publish(refs, peeled: peeled, as: name)

            // Version 1 only adds a line in front, and version 2 advertises no refs.
            let versions: [ProtocolVersion] = seed % 8 == 0 ? [.v0, .v1, .v2] : [.v0]
            for version in versions {
                for service in [GitService.uploadPack, .receivePack] {
                    expectEqual(
                        try comparison.advertisement(of: name, service, version),
                        try comparison.gitAdvertisement(of: workspace, service, version),
                        "seed \(seed), \(service) \(version)")
                }
            }
            var random = SplitMix64(seed: UInt64(seed) ^ 0xabcdef)
            let requests = refs.requests(
                refs.refs.count < 100 ? 14 : 3, format: format, random: &random)
            let answers = try comparison.gitAnswers(to: requests, in: workspace)
            for (request, expected) in zip(requests, answers) {
                expectEqual(
                    try comparison.answer(to: request, of: name), expected,
                    "seed \(seed), \(String(decoding: request.prefix(2000), as: UTF8.self))")
            }

            guard seed % 5 == 0 else { continue }
            try comparison.publish(refs, peeled: nil, as: name)
            expectEqual(
                try comparison.advertisement(of: name, .uploadPack, .v0),
                try comparison.gitAdvertisement(of: workspace, .uploadPack, .v0),
                "seed \(seed), without 'peeled'")
            for index in [0, 1] {
                expectEqual(
                    try comparison.answer(to: requests[index], of: name), answers[index],
                    "seed \(seed), without 'peeled', "
                        + String(decoding: requests[index].prefix(2000), as: UTF8.self))
            }
        }
    }

    @Test(arguments: [0, 1])
    func answersEqualGitsForManyPrefixes(missing: Int) throws {
        let comparison = try Comparison(.sha1)
        let refs = try GeneratedRefs(seed: 7, from: comparison.pool)
        let workspace = try comparison.repository(refs, .packed)
        let peeled = try WorkspaceRefs.read(from: workspace, git: comparison.git, limits: .none)
            .peeled
        try comparison.publish(refs, peeled: peeled, as: "owner/repo")
        var body: [UInt8] = []
        PktLine.append(Array("command=ls-refs\n".utf8), to: &body)
        body += Array("0001".utf8)
        PktLine.append(Array("ref-prefix refs/tags/many/1/\n".utf8), to: &body)
        for number in missing + 1..<65_536 {
            PktLine.append(Array("ref-prefix \(number)\n".utf8), to: &body)
        }
        PktLine.append(Array("peel\n".utf8), to: &body)
        body += PktLine.flushBytes
        let answer = try comparison.answer(to: body, of: "owner/repo")
        expectEqual(
            answer, try comparison.gitAnswers(to: [body], in: workspace)[0],
            "\(65_536 - missing) prefixes")
        #expect((answer.count > 100_000) == (missing == 0))
    }

    @Test(arguments: [ObjectFormat.sha1, .sha256])
    func oddRequestsGetGitsAnswerOrRefusal(format: ObjectFormat) throws {
        let comparison = try Comparison(format)
        let refs = try GeneratedRefs(seed: 4, from: comparison.pool)
        let workspace = try comparison.repository(refs, .loose)
        let peeled = try WorkspaceRefs.read(from: workspace, git: comparison.git, limits: .none)
            .peeled
        try comparison.publish(refs, peeled: peeled, as: "owner/repo")

        let named = "object-format=\(format.rawValue)"
        let bodies: [(capabilities: [String], arguments: [String])] = [
            ([], ["peel"]), ([], []), ([named, named], ["symrefs"]),
            (["object-format=sha1"], []), (["object-format=sha256"], []),
            (["object-format=md5"], []), (["object-format"], []),
            ([named, "agent"], []), ([named, "agent="], []), ([named, "agent=a", "agent=b"], []),
            ([named, "server-option=x"], ["peel"]), ([named, "session-id=x"], []),
            ([named, "fetch"], []), ([named, "nonsense"], []), ([named, ""], []),
            ([named, "command=ls-refs"], []), ([named, "command=fetch"], []),
            ([named], ["nonsense"]), ([named], ["peel", "peel "]), ([named], ["ref-prefix"]),
            ([named], [""]), ([named], ["Peel"]), ([named], ["peel\0x"]), ([named], ["unborn\n\n"]),
            ([named], ["ref-prefix refs/heads/\0x"]), (["\(named)\0x"], ["peel"]),
            ([named], ["ref-prefix  refs/heads/"]), ([named], ["ref-prefix refs/heads/\n"]),
        ]
        for (capabilities, arguments) in bodies {
            for hasDelimiter in [true, false] where hasDelimiter || arguments.isEmpty {
                var body: [UInt8] = []
                for line in ["command=ls-refs"] + capabilities {
                    PktLine.append(Array(line.utf8), to: &body)
                }
                if hasDelimiter { body += Array("0001".utf8) }
                for line in arguments { PktLine.append(Array(line.utf8), to: &body) }
                body += PktLine.flushBytes
                let shown = String(decoding: body, as: UTF8.self).debugDescription
                let connection = comparison.respond(to: body, of: "owner/repo")
                if let expected = try comparison.gitAnswer(to: body, in: workspace) {
                    #expect(connection.status == 200, "\(shown)")
                    expectEqual(connection.body, expected, shown)
                } else {
                    #expect(connection.status == 400, "\(shown): \(connection.text)")
                }
            }
        }
    }
}
