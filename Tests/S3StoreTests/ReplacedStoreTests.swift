import ObjectStore
import Posix
import Synchronization
import TestSupport
import Testing

@testable import S3Store

/// An admission is valid only for the server software that passed the probe (S9).
@Suite(.serialized) struct ReplacedStoreTests {
    private let directory: TemporaryDirectory
    private let probe = ConformanceProbe(width: 2, rounds: 1)
    private let key = ObjectKey.probe(run: "r", name: "n")
    private let changes = Changes()

    init() throws { directory = try TemporaryDirectory() }

    /// The changes that were reported.
    private final class Changes: Sendable {
        let list = Mutex<[String]>([])
        var taken: [String] { list.withLock { $0 } }
    }

    /// A process that starts now.
    private func start(
        _ scripted: ScriptedStore, pause: Duration = .seconds(60)
    ) throws -> Admission {
        try Admission.admit(
            scripted.store(), stateDirectory: directory.path + "/state", probe: probe,
            pause: pause
        ) { [changes] change in
            let word =
                switch change {
                case .unknownServer(let names): "unknown \(names)"
                case .passed: "passed"
                case .failed: "failed"
                }
            changes.list.withLock { $0.append(word) }
        }
    }

    private func write(_ store: any ObjectStore, _ text: String) throws {
        try store.write([.pack(.bytes(Array(text.utf8)))])
    }

    private func read(_ store: any ObjectStore) throws {
        _ = try store.get(key, limit: 10)
    }

    @Test func recordKeepsWhatWasFound() throws {
        var conduct = ScriptedStore.Conduct()
        conduct.onMD5 = .checked
        conduct.etagIsMD5 = true
        conduct.name = "Scripted 'S3' \u{1b}[1m 1.2"
        let scripted = try ScriptedStore(conduct)
        let first = try start(scripted)
        #expect(first.source == .probe)
        _ = scripted.counted()
        let second = try start(scripted)
        #expect(second.source == .record)
        #expect(second.report == first.report)
        #expect(second.store.dialect == [.checksMD5, .etagIsMD5])
        #expect(second.store.checksBodies)
        #expect("\(second.report)".contains("server: 'Scripted ?S3? ?[1m 1.2'"))
        #expect(scripted.counted() == [:])
        try read(second.store)
        try write(second.store, "a")
        #expect(scripted.counted() == ["GET": 1, "PUT": 1])
        #expect(changes.taken.isEmpty)
    }

    @Test func recordOfAnOlderVersionIsIgnored() throws {
        let scripted = try ScriptedStore()
        _ = try start(scripted)
        let records = directory.path + "/state/admission"
        let name = try #require(try Files.names(in: records).first { !$0.hasSuffix(".lock") })
        let text = String(decoding: try Files.read(records + "/" + name), as: UTF8.self)
        let title = "git-s3-backend admission \(ConformanceProbe.version)\n"
        #expect(text.hasPrefix(title))
        for old in [
            text.replacing(title, with: "git-s3-backend admission 1\n"),
            "git-s3-backend admission 1\nstore s\nstore-sha256 x\nadmitted 1\netags quoted\n"
                + "width 2\nrounds 1\ntransport-drops 0\n",
        ] {
            try Files.write(Array(old.utf8), to: records + "/" + name)
            #expect(try start(scripted).source == .probe)
        }
    }

    @Test func replacedBackendThatFailsIsNotWrittenTo() throws {
        let scripted = try ScriptedStore()
        _ = try start(scripted)
        scripted.change {
            $0.name = "scripted/0"
            $0.ignoresConditions = true
        }
        // The record admits the location: no request was sent yet.
        let second = try start(scripted)
        #expect(second.source == .record)
        try read(second.store)
        let error = #expect(throws: StoreError.self) { try write(second.store, "a") }
        guard case .notAdmitted(let reason)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reason.contains("scripted/0") && reason.contains("sequential"), "\(reason)")
        #expect(error?.leavesWriteUnknown == false && error?.isTransient == false)
        #expect(scripted.keys.isEmpty)
        #expect(changes.taken == ["unknown 'scripted/0'", "failed"])
        // Reads continue; a write in the meantime is refused without another probe.
        _ = scripted.counted()
        try read(second.store)
        #expect(throws: StoreError.self) { try write(second.store, "a") }
        #expect(scripted.counted() == ["GET": 1])
    }

    @Test func replacedBackendThatPassesIsWrittenTo() throws {
        let scripted = try ScriptedStore()
        let running = try start(scripted).store
        scripted.change {
            $0.name = "scripted/2"
            $0.onMD5 = .checked
        }
        try read(running)
        try write(running, "a")
        #expect(changes.taken == ["unknown 'scripted/2'", "passed"])
        // The probe also found what the new server checks.
        #expect(running.dialect == .checksMD5)
        #expect(scripted.puts.last?["content-md5"] != nil)
        // Every later process finds both in the record, and runs no probe.
        let next = try start(scripted)
        #expect(next.source == .record)
        for name in ["scripted/1", "scripted/2"] {
            scripted.change { $0.name = name }
            try read(next.store)
            try write(next.store, name)
        }
        #expect(changes.taken.count == 2)
    }

    @Test func refusalEndsWhenTheBackendIsRepaired() throws {
        let scripted = try ScriptedStore()
        let store = try start(scripted, pause: .zero).store
        scripted.change {
            $0.name = nil
            $0.ignoresConditions = true
        }
        try read(store)
        #expect(throws: StoreError.self) { try write(store, "a") }
        scripted.change { $0.ignoresConditions = false }
        try write(store, "a")
        #expect(changes.taken == ["unknown '(none)'", "failed", "unknown '(none)'", "passed"])
    }

    /// Another server that passes afterwards proves nothing about the one that failed.
    @Test func failedBackendIsNotAdmittedByItsReplacement() throws {
        let scripted = try ScriptedStore()
        let store = try start(scripted, pause: .zero).store
        func setFailing(_ isFailing: Bool) {
            scripted.change {
                $0.name = isFailing ? "scripted/0" : "scripted/1"
                $0.ignoresConditions = isFailing
            }
        }
        setFailing(true)
        try read(store)
        #expect(throws: StoreError.self) { try write(store, "a") }
        setFailing(false)
        try write(store, "b")
        setFailing(true)
        // A later process relies on the record.
        for store in [store, try start(scripted).store] {
            try read(store)
            #expect(throws: StoreError.self) { try write(store, "c") }
        }
        #expect(scripted.keys.count { $0.hasPrefix("packs/") } == 1)
    }

    /// A server behind a load balancer that answers rarely: it is unknown, and then misses the
    /// probe.
    @Test func backendThatMissesItsProbeCausesNoOther() throws {
        let scripted = try ScriptedStore()
        let store = try start(scripted).store
        for _ in 1...3 {
            scripted.change { $0.name = "scripted/rare" }
            try read(store)
            scripted.change { $0.name = "scripted/1" }
            try write(store, "a")
        }
        #expect(changes.taken == ["unknown 'scripted/rare'", "passed"])
        #expect("\(try start(scripted).report.servers)" == "'scripted/1'")
    }

    @Test func writersOfAllProcessesWaitForOneProbe() throws {
        let scripted = try ScriptedStore()
        let first = try start(scripted).store
        let second = try start(scripted).store
        scripted.change { $0.name = "scripted/2" }
        try read(first)
        try read(second)
        let gate = Gate(openingAt: 4)
        _ = try concurrently(4) { number in
            gate.pass(upTo: .seconds(5))
            // The assertions below notice if a write fails.
            try? write(number < 2 ? first : second, "\(number)")
        }
        #expect(scripted.keys.count { $0.hasPrefix("packs/") } == 4)
        #expect(changes.taken.count { $0 == "passed" } == 1)
    }

    @Test func backendOfEverChangingNameIsNotComparedForever() throws {
        let scripted = try ScriptedStore()
        let store = try start(scripted).store
        for number in 0..<40 {
            scripted.change { $0.name = "node-\(number)" }
            try read(store)
        }
        try write(store, "a")
        scripted.change { $0.name = "node-x" }
        try read(store)
        try write(store, "b")
        #expect(changes.taken.count { $0 == "passed" } == 1)
        #expect(try start(scripted).source == .record)
    }
}
