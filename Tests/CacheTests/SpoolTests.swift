import Glibc
import Posix
import Synchronization
import TestBench
import TestSupport
import Testing

@testable import Cache

/// Bytes on their way from git to a slow client.
@Suite struct SpoolTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func space(_ limit: Int64) -> SpoolSpace {
        SpoolSpace(limit: limit) { [path = directory.path] in path }
    }

    private static func bytes(_ count: Int, seed: Int = 0) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: ($0 + seed) &* 2_654_435_761 >> 7) }
    }

    private func append(
        _ bytes: [UInt8], to spool: Spool, wait: (() -> Void) throws -> Void = { $0() }
    ) throws {
        try bytes.withUnsafeBytes { try spool.append($0, wait: wait) }
    }

    private func readAll(_ spool: Spool, by size: Int = 50_000) throws -> [UInt8] {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: size)
        while true {
            let count = try buffer.withUnsafeMutableBytes { try spool.read(into: $0) }
            if count == 0 { return all }
            all += buffer[..<count]
        }
    }

    @Test(arguments: [0, 1, 1 << 20, (1 << 20) + 1, 5_000_000])
    func writerDoesNotWaitForTheReader(count: Int) throws {
        let spool = Spool(in: space(1 << 30))
        let bytes = Self.bytes(count)
        for start in stride(from: 0, to: count, by: 70_000) {
            try append(Array(bytes[start..<min(start + 70_000, count)]), to: spool) { _ in
                Issue.record("the writer waits")
            }
        }
        spool.finish()
        #expect(try readAll(spool) == bytes)
        #expect(try Files.names(in: directory.path).isEmpty, "the file has no name")
    }

    @Test(arguments: [0, 100_000, 1 << 30])
    func everyByteArrivesOnceWhateverTheRoom(limit: Int64) throws {
        let space = space(limit)
        let bytes = Self.bytes(6_000_000)
        for seed in 0..<4 as Range<UInt64> {
            let spool = Spool(in: space)
            let reading = Background { try readAll(spool, by: 1000 << seed) }
            var random = SplitMix64(seed: seed)
            var start = 0
            while start < bytes.count {
                let count = min(bytes.count - start, Int(random.next() % 300_000))
                try append(Array(bytes[start..<start + count]), to: spool)
                start += count
            }
            spool.finish()
            #expect(try reading.value() == bytes)
        }
    }

    @Test func roomIsGivenBack() throws {
        let space = space(3_000_000)
        for _ in 0..<5 {
            let spool = Spool(in: space)
            try append(Self.bytes(4_000_000), to: spool) { _ in Issue.record("no room") }
        }
    }

    @Test func writerWithoutRoomWaitsUntilTheReaderHasEverything() throws {
        let spool = Spool(in: space(0))
        let bytes = Self.bytes(3 << 20)
        let waits = Mutex(0)
        let writing = Background {
            try append(bytes, to: spool) { wait in
                waits.withLock { $0 += 1 }
                wait()
            }
            spool.finish()
        }
        #expect(try readAll(spool) == bytes)
        try writing.value()
        #expect(waits.withLock { $0 } == 2)
    }

    @Test func readerThatGoesAwayEndsTheWriter() throws {
        let spool = Spool(in: space(0))
        let writing = Background { try append(Self.bytes(3 << 20), to: spool) }
        var byte: UInt8 = 0
        let count = try withUnsafeMutableBytes(of: &byte) { try spool.read(into: $0) }
        #expect(count == 1)
        spool.abandon()
        #expect(throws: Spool.Abandoned.self) { try writing.value() }
    }

    @Test func unwritableDirectoryFailsTheWriter() throws {
        let spool = Spool(in: SpoolSpace(limit: 1 << 30) { "/nonexistent" })
        #expect(throws: SystemError.self) { try append(Self.bytes(2 << 20), to: spool) }
    }

    @Test func bodyWithoutRoomIsTakenUpToThere() throws {
        let spool = Spool(in: space(0))
        let piece = Self.bytes(400_000)
        let taken = try (0..<4).map { _ in try piece.withUnsafeBytes { try spool.appendIfRoom($0) }
        }
        #expect(taken == [true, true, false, false])
        spool.finish()
        #expect(try readAll(spool) == piece + piece)
    }
}
