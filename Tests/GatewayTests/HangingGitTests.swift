import Git
import GitProtocol
import ObjectStore
import Posix
import Repository
import TestSupport
import Testing

@testable import Gateway

/// A git that hangs ends within the time limit of its request, whatever its task.
@Suite struct HangingGitTests {
    private typealias Site = ResponderPushTests.Site

    enum Hang: CaseIterable {
        case learningCapabilities, indexingForFetch, fetching, indexingForPush, receiving,
            readingRefs

        var command: String {
            switch self {
            case .learningCapabilities, .fetching: "upload-pack"
            case .indexingForFetch, .indexingForPush: "index-pack"
            case .receiving: "receive-pack"
            case .readingRefs: "for-each-ref"
            }
        }
    }

    @Test(arguments: Hang.allCases)
    func hangingGitEndsIn504(_ hang: Hang) throws {
        let seed = try Site()
        let (commit, body) = try seed.request("report-status")
        #expect(seed.push(body).status == 200)
        if hang.command == "index-pack" {
            for pack in try seed.manifest().packs {
                seed.memory.plant(nil, at: .packIndex(pack))
            }
        }
        let before = try seed.manifest()
        try withHangingGit(in: hang.command) { git, time in
            let site = try Site(on: seed.memory, git: git, gitTime: time, creation: nil)
            switch hang {
            case .learningCapabilities: return site.advertisement(of: "git-upload-pack")
            case .fetching, .indexingForFetch: return Self.fetch(commit, from: site)
            case .receiving, .indexingForPush, .readingRefs:
                return site.push(
                    try site.request("report-status", to: ["refs/heads/other"]).body)
            }
        }
        #expect(try seed.manifest() == before)
    }

    /// Repeats a request with a longer limit until git is reached: on a busy machine even the steps
    /// before it can exceed a short limit.
    private func withHangingGit(
        in command: String, _ request: (GitProgram, Duration) throws -> FakeConnection
    ) throws {
        var time = Duration.milliseconds(500)
        while true {
            let hanging = try HangingGit(in: command)
            let git = try #require(GitProgram(searching: hanging.searchPath))
            let answer = try request(git, time)
            if hanging.hasHung {
                #expect(answer.status == 504, "\(answer.text)")
                return try hanging.waitForEnd()
            }
            time *= 2
            try #require(time < .seconds(60), "git was never reached")
        }
    }

    private static func fetch(_ commit: String, from site: Site) -> FakeConnection {
        var wants: [UInt8] = []
        PktLine.append(Array("want \(commit)\n".utf8), to: &wants)
        wants += PktLine.flushBytes
        PktLine.append(Array("done\n".utf8), to: &wants)
        let connection = FakeConnection([wants])
        site.responder.respond(
            to: .with([
                "REQUEST_METHOD": "POST", "PATH_INFO": "/owner/repo/git-upload-pack",
                "CONTENT_TYPE": "application/x-git-upload-pack-request",
            ]), on: connection)
        return connection
    }
}
