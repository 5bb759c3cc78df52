import Bytes
import Logging
import ObjectStore
import Posix
import TestBench
import TestSupport
import Testing

@testable import Git
@testable import Maintenance
@testable import Repository

/// Verifying uploads.
@Suite struct UploadVerifierTests {
    /// A repository with one pack, a verifier of its store, and what that logs.
    private struct Scene {
        let bench: Bench
        let log = LogRecorder()
        let verifier: UploadVerifier
        let pack: Digest
        let manifest: Digest

        init(
            cacheSize: Int64 = 1 << 30, bound: Int = UploadVerifier.defaultBound,
            retries: RetryPolicy = RetryPolicy(attempts: 3, base: .microseconds(10)),
            _ rules: [FaultRule] = []
        ) throws {
            let armed = Box(false)
            bench = try Bench(cacheSize: cacheSize) {
                FaultyStore(wrapping: $0, rules.once(armed))
            }
            try bench.push(bench.onePush(), to: bench.memory)
            let state = try bench.published()
            manifest = state.digest
            if cacheSize > 0 {
                // A push through another store does not cache its manifest.
                let directory = bench.state.path + "/manifests"
                try Files.makeDirectories(directory)
                let bytes = try #require(bench.memory.bytes(at: .manifest(manifest)))
                try Files.write(bytes, to: "\(directory)/\(manifest)")
            }
            pack = try #require(state.manifest.packs.first)
            verifier = UploadVerifier(
                try bench.hydration(), log: log.logger, retries: retries, bound: bound)
            bench.memory.resetCounts()
            armed.value = true
        }

        func publish() { verifier.published(manifest, pack: pack, to: bench.repository) }

        func waitForLines(_ count: Int) throws {
            try wait(for: "\(count) lines, not \(log.messages)") { log.lines.count >= count }
        }
    }

    @Test func packAndManifestAreReadOnce() throws {
        let scene = try Scene()
        scene.publish()
        try scene.waitForLines(2)
        #expect(scene.log.messages == ["upload verified", "upload verified"])
        #expect(
            scene.log.lines.map { $0.metadata["object.key"] }
                == ["packs/\(scene.pack)", "manifests/\(scene.manifest)"])
        #expect(scene.bench.memory.counts == MemoryStore.Counts(gets: 2))
        scene.verifier.stop()
        #expect(scene.log.lines.count == 2, "with nothing left a stop is silent")
    }

    @Test func manifestIsReadWithoutAPack() throws {
        let scene = try Scene()
        scene.verifier.published(scene.manifest, pack: nil, to: scene.bench.repository)
        try scene.waitForLines(1)
        scene.verifier.stop()
        #expect(scene.bench.memory.counts == MemoryStore.Counts(gets: 1))
    }

    @Test func damageIsLoggedWithTheRepairCommand() throws {
        let scene = try Scene()
        var bytes = try #require(scene.bench.memory.bytes(at: .pack(scene.pack)))
        bytes[bytes.count / 2] ^= 1
        scene.bench.memory.plant(bytes, at: .pack(scene.pack))
        scene.publish()
        try scene.waitForLines(2)
        let line = try #require(scene.log.lines.first)
        #expect(line.level == .error)
        #expect(line.message == "stored object is damaged")
        #expect(
            line.metadata == [
                "repo.name": "owner/repo", "object.key": "packs/\(scene.pack)",
                "error": "damaged: its SHA-256 is \(Digest(of: bytes))",
                "remedy": "A good copy is cached here. Run 'git-s3-backend repair owner/repo "
                    + "--from \(scene.bench.state.path)'.",
            ])
        scene.verifier.stop()
        #expect(scene.bench.memory.bytes(at: .pack(scene.pack)) == bytes, "it repairs nothing")
    }

    @Test func missingObjectWithoutACopyPointsToThePusher() throws {
        let scene = try Scene(cacheSize: 0)
        scene.bench.memory.plant(nil, at: .pack(scene.pack))
        scene.publish()
        try scene.waitForLines(2)
        let line = try #require(scene.log.lines.first)
        #expect(line.level == .error)
        #expect(line.metadata["error"] == "missing")
        let remedy = try #require(line.metadata["remedy"])
        #expect(remedy.hasPrefix("No good copy is cached here, but the pusher has the objects."))
        #expect(remedy.contains("'git-s3-backend repair owner/repo'"))
        scene.verifier.stop()
    }

    @Test func damagedManifestIsLogged() throws {
        let scene = try Scene()
        scene.bench.memory.plant([], at: .manifest(scene.manifest))
        scene.publish()
        try scene.waitForLines(2)
        let line = try #require(scene.log.lines.last)
        #expect(line.level == .error)
        #expect(line.metadata["object.key"] == "manifests/\(scene.manifest)")
        #expect(line.metadata["remedy"]?.hasPrefix("A good copy is cached here.") == true)
        scene.verifier.stop()
    }

    @Test func damageInOneOfTwoReadsIsIgnored() throws {
        let scene = try Scene([FaultRule(.hide, on: [.get], limit: 1)])
        scene.publish()
        try scene.waitForLines(2)
        #expect(scene.log.messages == ["upload verified", "upload verified"])
        scene.verifier.stop()
    }

    @Test func silentStoreIsAskedAgainAndThenAWarning() throws {
        // Each look is repeated by the store's own policy first.
        let back = try Scene([FaultRule(.unavailable, on: [.get], limit: 6)])
        back.publish()
        try back.waitForLines(2)
        #expect(back.log.messages == ["upload verified", "upload verified"])
        back.verifier.stop()

        let gone = try Scene([FaultRule(.dropReply, on: [.get])])
        gone.publish()
        try gone.waitForLines(2)
        #expect(Set(gone.log.messages) == ["could not verify an upload"])
        #expect(gone.log.lines.allSatisfy { $0.level == .warning })
        gone.verifier.stop()
    }

    @Test func waitingUploadsAreBounded() throws {
        let gate = Gate()
        let held = Gate()
        let scene = try Scene(
            bound: 2,
            [
                FaultRule(
                    .interleave { _ in
                        held.open()
                        gate.pass()
                    }, on: [.get], limit: 1)
            ])
        scene.publish()
        held.pass()
        // The first is being read, the second waits: there is room for one.
        let others = [Digest(of: [1]), Digest(of: [2])]
        for other in others {
            scene.verifier.published(other, pack: nil, to: scene.bench.repository)
        }
        try scene.waitForLines(1)
        let line = try #require(scene.log.lines.first)
        #expect(line.level == .warning)
        #expect(line.message == "upload not verified: too many are waiting")
        #expect(line.metadata["object.key"] == "manifests/\(others[1])")
        // Pushes that shared a swap have one manifest, which waits once.
        scene.verifier.published(others[0], pack: nil, to: scene.bench.repository)
        #expect(scene.log.lines.count == 1)
        gate.open()
        try scene.waitForLines(4)
        scene.verifier.stop()
    }

    @Test func stopDropsAndCountsWaitingUploads() throws {
        let gate = Gate()
        let held = Gate()
        let scene = try Scene([
            FaultRule(
                .interleave { _ in
                    held.open()
                    gate.pass()
                }, on: [.get], limit: 1)
        ])
        scene.publish()
        held.pass()
        let stopping = Background { scene.verifier.stop() }
        // Both uploads are queued already, so that publishing them again does nothing until the stop.
        try wait(for: "the stop") {
            scene.publish()
            return !scene.log.lines.isEmpty
        }
        gate.open()
        try stopping.value()
        let line = try #require(scene.log.lines.last)
        #expect(line.level == .warning)
        #expect(line.message == "uploads left unverified at shutdown")
        #expect(line.metadata["uploads.count"] == "1")
        scene.publish()
        #expect(
            scene.log.messages.suffix(2)
                == Array(repeating: "upload not verified: the server is stopping", count: 2))
    }

    @Test func stopDoesNotWaitForASilentStore() throws {
        let scene = try Scene(
            retries: RetryPolicy(attempts: 5, base: .seconds(600), ceiling: .seconds(600)),
            [FaultRule(.unavailable, on: [.get])])
        scene.publish()
        try wait(for: "the first look to fail") {
            (scene.bench.store as? FaultyStore)?.faultCount ?? 0 >= 4
        }
        scene.verifier.stop()
        #expect(scene.log.lines.last?.metadata["uploads.count"] == "2")
    }

    @Test func onlyUncheckedS3StoresAreVerifiedByDefault() {
        let unchecked = MemoryStore()
        let checked = CheckingStore()
        #expect(UploadVerification.auto.isWanted(of: unchecked, isLocal: false))
        #expect(!UploadVerification.auto.isWanted(of: checked, isLocal: false))
        #expect(!UploadVerification.auto.isWanted(of: unchecked, isLocal: true))
        #expect(UploadVerification.on.isWanted(of: checked, isLocal: true))
        #expect(!UploadVerification.off.isWanted(of: unchecked, isLocal: false))
    }

    @Test func backgroundCompactionIsVerified() throws {
        let scene = try Scene()
        for _ in 0..<3 { try scene.bench.push(scene.bench.onePush()) }
        let compactor = BackgroundCompactor(
            try scene.bench.hydration(), threshold: 2, verifier: scene.verifier, log: Bench.log)
        compactor.pushed(to: scene.bench.repository, packs: 4, before: 1)
        try scene.waitForLines(2)
        compactor.stop()
        let state = try scene.bench.published()
        let pack = try #require(state.manifest.packs.first)
        #expect(
            scene.log.lines.map { $0.metadata["object.key"] }
                == ["packs/\(pack)", "manifests/\(state.digest)"])
        scene.verifier.stop()
    }
}

/// A store whose backend checks bodies.
private struct CheckingStore: ObjectStore {
    let location = "checking"
    let retryPolicy = RetryPolicy()
    let checksBodies = true

    func perform(_ requests: [StoreRequest]) -> [Result<StoreAnswer, StoreError>] {
        requests.map { _ in .success(.absent) }
    }

    func list(prefix: String, startingAfter: String?) throws(StoreError) -> [ListedObject] { [] }
}
