import Bytes
import GitProtocol
import Glibc
import ObjectStore
import Posix
import Repository
import Synchronization
import TestSupport
import Testing

@testable import Gateway

/// The answer to a push that lost the race to another writer.
@Suite(.tags(.race)) struct ResponderRaceTests {
    private typealias Site = ResponderPushTests.Site

    /// Runs a closure just before the first swaps of a site.
    private final class Rival: Sendable {
        private let action = Mutex<(@Sendable () throws -> Void)?>(nil)
        private let limit: Int
        private let pause: useconds_t

        /// - Parameter pause: microseconds to wait before the swap.
        init(limit: Int = 1, pause: useconds_t = 0) {
            self.limit = limit
            self.pause = pause
        }

        func act(_ action: @escaping @Sendable () throws -> Void) {
            self.action.withLock { $0 = action }
        }

        func around(_ memory: MemoryStore) -> any ObjectStore {
            FaultyStore(
                wrapping: memory,
                [
                    FaultRule(
                        .interleave { [self] _ in
                            do {
                                usleep(pause)
                                try action.withLock { $0 }?()
                            } catch {
                                Issue.record(error)
                            }
                        }, keys: { $0.path.hasSuffix("/pointer") }, limit: limit)
                ])
        }
    }

    private static let clients = [
        "report-status", "report-status side-band-64k", "side-band-64k", "",
    ]

    /// A site with `main`, which another writer moves to another commit before a swap.
    private func contested(
        _ rival: Rival, keepAlive: Duration = .zero, attempts: Int = 5
    ) throws -> (site: Site, main: String) {
        let site = try Site(keepAlive: keepAlive, attempts: attempts, around: rival.around)
        let (commit, body) = try site.request("report-status")
        #expect(site.push(body).status == 200)
        rival.act { [main = RefName.main] in
            try site.publish {
                // No object has this id, but nobody will read it.
                $0.refs[main] = ObjectID(Array(String(Hex.random().prefix(40)).utf8))
            }
        }
        return (site, commit)
    }

    /// A push of `main` and of a new branch.
    private func push(
        _ site: Site, _ capabilities: String, from old: String
    ) throws -> (commit: String, body: [UInt8]) {
        let commit = try site.source.commit(Hex.random(), parent: old)
        var body: [UInt8] = []
        let zero = String(repeating: "0", count: 40)
        PktLine.append(
            Array("\(old) \(commit) refs/heads/main\0\(capabilities)".utf8), to: &body)
        PktLine.append(Array("\(zero) \(commit) refs/heads/b".utf8), to: &body)
        return (commit, body + PktLine.flushBytes + (try site.source.pack([commit])))
    }

    @Test(arguments: clients)
    func movedRefsAreRefusedAndTheOthersPublished(capabilities: String) throws {
        for keepAlive in [Duration.zero, .milliseconds(20)] {
            let rival = Rival(limit: 2, pause: 100_000)
            let (site, main) = try contested(rival, keepAlive: keepAlive)
            let (commit, body) = try push(site, capabilities, from: main)
            let answer = site.push(body)
            if capabilities.contains("report") {
                #expect(answer.status == 200)
                #expect(answer.text.contains("ok refs/heads/b"))
                #expect(answer.text.contains("ng refs/heads/main failed to update ref"))
                #expect(!answer.text.contains("ok refs/heads/main"))
                #expect(try site.branch("refs/heads/b") == commit)
            } else {
                let hasBegun = keepAlive != .zero && capabilities.contains("side-band")
                #expect(answer.status == (hasBegun ? 200 : 409))
                if hasBegun { #expect(answer.text.contains("\u{3}")) }
                #expect(try site.branch("refs/heads/b") == nil)
            }
            #expect(try site.branch("refs/heads/main") != commit)
        }
    }

    @Test(arguments: clients)
    func staleDeletionIsRefusedAndTheOthersPublished(capabilities: String) throws {
        for wish in ["", " atomic"] {
            let site = try Site()
            let (moved, first) = try site.request("report-status", to: ["refs/heads/topic"])
            #expect(site.push(first).status == 200)
            let commit = try site.source.commit(Hex.random())
            let zero = String(repeating: "0", count: 40)
            // git does not know this object, and so would delete the ref.
            let other = try site.source.commit(Hex.random())
            var body: [UInt8] = []
            PktLine.append(
                Array("\(other) \(zero) refs/heads/topic\0\(capabilities)\(wish)".utf8), to: &body)
            PktLine.append(Array("\(zero) \(commit) refs/heads/b".utf8), to: &body)
            let answer = site.push(body + PktLine.flushBytes + (try site.source.pack([commit])))

            let isTold = capabilities.contains("report")
            let isPart = isTold && wish.isEmpty
            #expect(answer.status == (isTold ? 200 : 403))
            #expect(answer.text.contains("ok refs/heads/b") == isPart)
            #expect(answer.text.contains("ng refs/heads/b") == (isTold && !isPart))
            #expect(answer.text.contains("ng refs/heads/topic stale info") == isTold)
            #expect(try site.branch("refs/heads/topic") == moved)
            #expect(try site.branch("refs/heads/b") == (isPart ? commit : nil))
        }
    }

    @Test(arguments: clients)
    func atomicPushIsRefusedAsAWhole(capabilities: String) throws {
        let rival = Rival(limit: 2)
        let (site, main) = try contested(rival)
        let answer = site.push(try push(site, capabilities + " atomic", from: main).body)
        #expect(answer.status == (capabilities.contains("report") ? 200 : 409))
        #expect(
            answer.text.contains("ng refs/heads/b atomic push failure")
                == capabilities.contains("report"))
        #expect(!answer.text.contains("ok refs"))
        #expect(try site.branch("refs/heads/b") == nil)
    }

    @Test(arguments: clients)
    func attemptsUsedUpIsStatus409(capabilities: String) throws {
        for keepAlive in [Duration.zero, .milliseconds(20)] {
            let rival = Rival(limit: .max, pause: 50_000)
            let site = try Site(keepAlive: keepAlive, attempts: 3, around: rival.around)
            rival.act { try site.publish { _ in } }
            let answer = site.push(try site.request(capabilities).body)
            let hasBegun = keepAlive != .zero && capabilities.contains("side-band")
            #expect(answer.status == (hasBegun ? 200 : 409))
            #expect(!answer.text.contains("ok refs"))
            #expect(
                answer.text.contains("ng refs/heads/main")
                    == (hasBegun && capabilities.contains("report")))
            #expect(try site.manifest().refs.isEmpty)
        }
    }

    @Test func pushIsReceivedAgainAfterItsPacksWereMerged() throws {
        for keepAlive in [Duration.zero, .milliseconds(20)] {
            let rival = Rival(limit: 2, pause: 50_000)
            let site = try Site(keepAlive: keepAlive, attempts: 5, around: rival.around)
            let (main, first) = try site.request("report-status")
            #expect(site.push(first).status == 200)
            rival.act {
                let extra = try site.source.commit(Hex.random())
                let (pack, index) = try site.source.indexedPack([main, extra])
                let digest = Digest(of: pack)
                try site.publish(
                    with: [.pack(.bytes(pack)), .packIndex(of: digest, .bytes(index))]
                ) { $0.packs = [digest] }
            }
            let (commit, body) = try push(
                site, "report-status side-band-64k", from: main)
            let answer = site.push(body)
            #expect(answer.status == 200, "\(answer.text)")
            #expect(answer.text.contains("ok refs/heads/main"))
            #expect(answer.text.contains("ok refs/heads/b"))
            #expect(try site.branch("refs/heads/main") == commit)
            #expect(try site.manifest().packs.count == 2)
        }
    }

    @Test(arguments: clients)
    func repositoryDeletedDuringAPushStaysDeleted(capabilities: String) throws {
        let rival = Rival()
        let site = try Site(attempts: 5, missingRepository: .creates, around: rival.around)
        rival.act { try site.publish { $0 = Manifest(kind: .tombstone, head: $0.head) } }
        let answer = site.push(try site.request(capabilities).body)
        #expect(answer.status == (capabilities.contains("report") ? 200 : 409))
        #expect(
            answer.text.contains("ng refs/heads/main the repository was deleted")
                == capabilities.contains("report"))
        guard case .deleted = try Manifests(site.memory).resolve(site.name) else {
            Issue.record("it is there again")
            return
        }
    }

    // MARK: Missing repositories

    @Test func missingRepositoryIsNotFound() throws {
        let site = try Site(creation: nil)
        #expect(site.advertisement(of: "git-receive-pack").status == 404)
        #expect(site.advertisement(of: "git-upload-pack").status == 404)
        #expect(site.push(try site.request("report-status").body).status == 404)
    }

    @Test func createOnPushStartsFromAnEmptyRepository() throws {
        let site = try Site(creation: nil, missingRepository: .creates)
        let offer = site.advertisement(of: "git-receive-pack")
        let zero = String(repeating: "0", count: 40)
        #expect(offer.status == 200)
        #expect(offer.text.contains("\(zero) capabilities^{}\0"))
        #expect(offer.text.contains("object-format=sha1"))
        #expect(site.advertisement(of: "git-receive-pack", user: "").status == 403)
        #expect(site.advertisement(of: "git-upload-pack").status == 404)

        #expect(site.push(Array("0000".utf8)).status == 200, "the probe")
        #expect(site.push(try site.request("report-status").body, user: "").status == 403)
        let unsafe = site.push(try site.request("report-status", to: ["refs/heads/a b"]).body)
        #expect(unsafe.text.contains("funny refname"))
        #expect(site.memory.bytes(at: .pointer(of: site.name)) == nil, "nothing was made by these")

        let (commit, body) = try site.request("report-status side-band-64k")
        #expect(site.push(body).text.contains("ok refs/heads/main"))
        #expect(try site.branch("refs/heads/main") == commit)
        #expect(site.advertisement(of: "git-upload-pack").status == 200)

        try site.publish { $0 = Manifest(kind: .tombstone, head: $0.head) }
        #expect(site.advertisement(of: "git-upload-pack").status == 404)
        #expect(site.push(try site.request("report-status").body).text.contains("ok refs"))
        #expect(site.advertisement(of: "git-upload-pack").status == 200)
    }

    @Test func clientsObjectFormatIsTheNewRepositorys() throws {
        let site = try Site(creation: nil, missingRepository: .creates)
        let zero = String(repeating: "0", count: 64)
        let one = String(repeating: "1", count: 64)
        for (format, digits, status) in [("sha3", 64, 400), ("sha1", 64, 400), ("sha256", 40, 400)]
        {
            var body: [UInt8] = []
            PktLine.append(
                Array(
                    "\(zero.prefix(digits)) \(one.prefix(digits)) refs/heads/a\0object-format=\(format)"
                        .utf8), to: &body)
            #expect(site.push(body + PktLine.flushBytes).status == status)
        }
        #expect(site.memory.bytes(at: .pointer(of: site.name)) == nil)
    }
}
