import Glibc
import ObjectStore
import Posix
import TestSupport
import Testing

@Suite struct AdmissionTests {
    let scratch: TemporaryDirectory
    let memory = MemoryStore()
    let probe = ConformanceProbe(width: 4, rounds: 1)

    init() throws { scratch = try TemporaryDirectory() }

    func admit(_ store: any ObjectStore) throws -> Admission {
        try Admission.admit(store, stateDirectory: scratch.path + "/state", probe: probe)
    }

    func recordPath() throws -> String {
        let directory = scratch.path + "/state/admission"
        let names = try Files.names(in: directory).filter { !$0.hasSuffix(".lock") }
        return directory + "/" + (try #require(names.first))
    }

    @Test func aSecondStartTakesTheRecord() throws {
        #expect(try admit(memory).source == .probe)
        memory.resetCounts()
        let second = try admit(memory)
        #expect(second.source == .record)
        #expect(second.report.width == 4)
        #expect(memory.counts == .init())
    }

    @Test func anotherStoreIsProbed() throws {
        _ = try admit(memory)
        #expect(try admit(MemoryStore()).source == .probe)
    }

    @Test func aNarrowerRecordDoesNotCount() throws {
        _ = try admit(memory)
        let wider = try Admission.admit(
            memory, stateDirectory: scratch.path + "/state",
            probe: ConformanceProbe(width: 5, rounds: 1))
        #expect(wider.source == .probe)
        #expect(try admit(memory).source == .record)
    }

    @Test func bareTagsAreRemembered() throws {
        let store = FaultyStore(wrapping: memory, [FaultRule(.refuseQuotes)])
        #expect(try admit(store).report.dialect.contains(.bareETags))
        let second = try admit(store)
        #expect(second.source == .record)
        // The store that was handed out accepts its own tokens.
        #expect(try probe.run(on: second.store).report.dialect.contains(.bareETags))
        // A store without the bare form cannot use that record.
        #expect(try admit(Renamed(memory, location: store.location)).source == .probe)
    }

    @Test func aRefusedStoreLeavesNoRecord() throws {
        let store = FaultyStore(wrapping: memory, [FaultRule(.ignoreCondition)])
        #expect(throws: ProbeFailure.self) { try admit(store) }
        #expect(throws: ProbeFailure.self) { try admit(store) }
    }

    @Test func damagedRecordIsIgnored() throws {
        _ = try admit(memory)
        let path = try recordPath()
        let bytes = try Files.read(path)
        var damaged: [[UInt8]] = [[], bytes + [10], bytes + bytes, [0xff] + bytes]
        damaged += (1..<bytes.count).map { Array(bytes[..<$0]) }
        for index in bytes.indices {
            var copy = bytes
            copy[index] ^= 0x80
            damaged.append(copy)
        }
        for bytes in damaged {
            try Files.write(bytes, to: path)
            memory.resetCounts()
            // This store fails at once: only the record could have admitted it.
            let store = Renamed(
                FaultyStore(wrapping: memory, [FaultRule(.denied)]), location: memory.location)
            #expect(throws: ProbeFailure.self) { try admit(store) }
        }
        try Files.write(bytes, to: path)
        #expect(try admit(memory).source == .record)
    }

    @Test(arguments: [-8, -7, -6, 0, 1])
    func recordsCountForAWeek(_ days: Int) throws {
        _ = try admit(memory)
        let path = try recordPath()
        let text = String(decoding: try Files.read(path), as: UTF8.self)
        let lines = text.split(separator: "\n").map { line in
            line.hasPrefix("admitted ") ? "admitted \(time(nil) + days * 86_400)" : String(line)
        }
        try Files.write(Array((lines.joined(separator: "\n") + "\n").utf8), to: path)
        #expect(try admit(memory).source == (days == -6 || days == 0 ? .record : .probe))
    }

    @Test func oneProbesAndTheOthersWait() throws {
        let sources = try concurrently(8) { _ in try admit(memory).source }
        #expect(sources.filter { $0 == .probe }.count == 1)
    }

    @Test func aStateDirectoryThatCannotBeIsAnError() throws {
        try Files.write([], to: scratch.path + "/file")
        #expect {
            try Admission.admit(memory, stateDirectory: scratch.path + "/file", probe: probe)
        } throws: { error in
            "\(error)".contains("Make the state directory writable")
        }
    }
}

/// A store with the location of another one.
private struct Renamed: ObjectStore {
    let inner: any ObjectStore
    let location: String

    init(_ inner: any ObjectStore, location: String) {
        self.inner = inner
        self.location = location
    }

    var retryPolicy: RetryPolicy { inner.retryPolicy }
    var checksBodies: Bool { inner.checksBodies }

    func perform(_ requests: [StoreRequest]) -> [Result<StoreAnswer, StoreError>] {
        inner.perform(requests)
    }

    func list(
        prefix: String, startingAfter: String?
    ) throws(StoreError) -> [ListedObject] {
        try inner.list(prefix: prefix, startingAfter: startingAfter)
    }
}
