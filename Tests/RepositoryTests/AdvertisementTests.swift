import Foundation
import GitProtocol
import ObjectStore
import Posix
import TestSupport
import Testing

@testable import Repository

/// What is answered from the manifest, held against what the installed git answers for the same
/// repository, byte for byte.
@Suite struct AdvertisementTests {
    let scratch: ScratchDirectory
    let state: StateDirectory
    let git: GitProgram

    init() throws {
        scratch = try ScratchDirectory()
        state = try StateDirectory(path: scratch.path + "/state")
        git = try #require(GitProgram(searching: "/usr/local/bin:/usr/bin:/bin"))
    }

    /// A repository of git's own, with generated refs.
    private struct Sample: ~Copyable {
        let workspace: Workspace
        let head: RefName
        let format: ObjectFormat

        static func make(
            seed: UInt64, format: ObjectFormat, state: StateDirectory, git: GitProgram
        ) throws -> Sample {
            var random = SplitMix(state: seed)
            let branches = ["main", "a", "é", "e\u{301}", "feature/#12", "v1.0+b", "z/\"q\""]
            let headName = branches[Int(random.next() % 7)]
            let head = try #require(RefName("refs/heads/\(headName)"))
            let workspace = try Workspace.empty(head: head, format: format, in: state)
            guard seed % 11 != 0 else {
                return Sample(workspace: workspace, head: head, format: format)
            }

            let tree = try run(git, workspace, ["hash-object", "-w", "-t", "tree", "/dev/null"])
            let blob = try run(git, workspace, ["hash-object", "-w", "--stdin"])
            var commits = [try run(git, workspace, ["commit-tree", "-m", "0", tree])]
            for number in 1...3 {
                commits.append(
                    try run(
                        git, workspace,
                        ["commit-tree", "-m", "\(number)", "-p", commits[number - 1], tree]))
            }
            var names: Set<String> = []
            for branch in branches where random.next() % 3 > 0 {
                _ = try run(
                    git, workspace,
                    ["update-ref", "refs/heads/\(branch)", commits[Int(random.next() % 4)]])
            }
            let targets = commits + [tree, blob]
            for number in 0..<Int(random.next() % 6) {
                let name = ["t\(number)", "rel/\(number)", "ü\(number)"][Int(random.next() % 3)]
                let target = targets[Int(random.next() % UInt64(targets.count))]
                switch random.next() % 3 {
                case 0: _ = try run(git, workspace, ["update-ref", "refs/tags/\(name)", target])
                case 1: _ = try run(git, workspace, ["tag", "-a", "-m", "x", name, target])
                default:
                    _ = try run(git, workspace, ["tag", "-a", "-m", "x", "inner\(number)", target])
                    _ = try run(
                        git, workspace, ["tag", "-a", "-m", "y", name, "refs/tags/inner\(number)"])
                }
                names.insert(name)
            }
            if random.next() % 2 == 0 {
                _ = try run(git, workspace, ["update-ref", "refs/notes/x", commits[0]])
            }
            if random.next() % 2 == 0 {
                _ = try run(git, workspace, ["update-ref", "refs/pull/1/head", blob])
            }
            return Sample(workspace: workspace, head: head, format: format)
        }

        private static func run(
            _ git: GitProgram, _ workspace: borrowing Workspace, _ arguments: [String]
        ) throws -> String {
            let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
            let result = try git.run(identity + arguments, in: workspace, step: "make a sample")
            if result.ending != .exited(0) {
                Issue.record("\(arguments): \(workspace.gitErrors())")
            }
            return String(decoding: result.output, as: UTF8.self).trimmingCharacters(in: .newlines)
        }

        /// What a push that left these refs would publish.
        func listing(_ git: GitProgram) throws -> (RefListing, isEmpty: Bool) {
            let refs = try PublishedRefs.read(from: workspace, git: git)
            return (
                RefListing(head: head, refs: refs.ids, peeled: refs.peeled), refs.ids.isEmpty
            )
        }
    }

    struct SplitMix: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
            return z ^ (z >> 31)
        }
    }

    @Test(arguments: 0..<40)
    func advertisementsAreThoseOfGit(seed: Int) throws {
        let format: ObjectFormat = seed % 4 == 3 ? .sha256 : .sha1
        let sample = try Sample.make(seed: UInt64(seed), format: format, state: state, git: git)
        let learned = LearnedCapabilities(git: git, state: state)
        let (listing, isEmpty) = try sample.listing(git)

        for version in [ProtocolVersion.v0, .v1, .v2] {
            let client = GitProgram.Client(
                user: "", address: "",
                protocolVersion: version == .v0 ? "" : "version=\(version.rawValue)")
            for service in [UploadPack.Service.uploadPack, .receivePack] {
                let expected = try UploadPack(git: git, client: client)
                    .advertisement(of: service, in: sample.workspace)
                let ours: [UInt8] =
                    switch service {
                    case .uploadPack where version == .v2 || isEmpty:
                        try learned.advertisementWithoutRefs(of: service, version, format)
                    case .uploadPack:
                        listing.uploadPackAdvertisement(
                            try learned.capabilities(of: service, version, format))
                    case .receivePack:
                        listing.receivePackAdvertisement(
                            try learned.capabilities(
                                of: service, version == .v2 ? .v0 : version, format))
                    }
                #expect(
                    String(decoding: ours, as: UTF8.self)
                        == String(decoding: expected, as: UTF8.self),
                    "\(service) \(version), seed \(seed)")
                #expect(ours == expected)
            }
        }
    }

    @Test(arguments: 0..<40)
    func lsRefsIsThatOfGit(seed: Int) throws {
        let format: ObjectFormat = seed % 4 == 3 ? .sha256 : .sha1
        let sample = try Sample.make(seed: UInt64(seed), format: format, state: state, git: git)
        let (listing, _) = try sample.listing(git)
        var random = SplitMix(state: UInt64(seed) ^ 0xabcdef)

        for _ in 0..<8 {
            var body: [UInt8] = []
            func line(_ text: String) { PktLine.append(Array(text.utf8), to: &body) }
            line("command=ls-refs\n")
            if random.next() % 2 == 0 { line("agent=git/2.39.5") }
            line("object-format=\(format.rawValue)")
            body += Array("0001".utf8)
            for argument in ["peel\n", "symrefs\n", "unborn\n"] where random.next() % 3 > 0 {
                line(argument)
            }
            let prefixes = [
                "ref-prefix refs/heads/\n", "ref-prefix HEAD\n", "ref-prefix refs/tags/t",
                "ref-prefix refs/heads/e", "ref-prefix refs/heads/é\n",
            ]
            for prefix in prefixes where random.next() % 4 == 0 { line(prefix) }
            body += PktLine.flushBytes

            var rest = body[...]
            let reader = PktLineReader { count in
                let taken = rest.prefix(count)
                rest = rest.dropFirst(count)
                return Array(taken)
            }
            let request = try #require(try LsRefsRequest.read(from: reader, format: format))
            let expected = try gitAnswer(to: body, in: sample.workspace)
            #expect(
                String(decoding: listing.answer(to: request), as: UTF8.self)
                    == String(decoding: expected, as: UTF8.self),
                "seed \(seed): \(String(decoding: body, as: UTF8.self))")
        }
    }

    private func gitAnswer(to body: [UInt8], in workspace: borrowing Workspace) throws -> [UInt8] {
        var output: [UInt8] = []
        let client = GitProgram.Client(user: "", address: "", protocolVersion: "version=2")
        _ = try UploadPack(git: git, client: client).answer(
            BytesBody(body), in: workspace, deadline: .now + .seconds(60)
        ) { output += Array($0) }
        return output
    }
}

/// A body in memory.
final class BytesBody: RequestBody, @unchecked Sendable {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let taken = rest.prefix(buffer.count)
        buffer.copyBytes(from: taken)
        rest = rest.dropFirst(taken.count)
        return taken.count
    }

    func cancel() {}

    var hangupDescriptor: Int32? { nil }
}
