import Glibc
import Logging
import ObjectStore
import Posix
import Synchronization
import TestBench
import TestSupport
import Testing

@testable import Git
@testable import Maintenance
@testable import Repository

/// Compacting in the background.
@Suite struct BackgroundCompactorTests {
    private func packs(_ bench: Bench) throws -> Int {
        try bench.published().manifest.packs.count
    }

    @Test func compactionStartsAtTheThresholdAndThenNowAndThen() {
        func due(_ threshold: Int, adding added: Int = 1) -> [Int] {
            (0...80).filter {
                BackgroundCompactor.isDue(packs: $0, before: $0 - added, threshold: threshold)
            }
        }
        #expect(due(50) == [51, 61, 71])
        #expect(due(10) == Array(stride(from: 11, through: 80, by: 2)))
        #expect(due(1) == Array(2...80))
        #expect(due(0).isEmpty, "zero: never")
        // Several pushes in one swap pass a number together; one that adds no pack passes none.
        #expect(due(50, adding: 3) == [51, 52, 53, 61, 62, 63, 71, 72, 73])
        #expect(due(50, adding: 0).isEmpty)
        #expect(due(50, adding: 30) == Array(51...80))
    }

    @Test func repositoryIsCompactedPastTheThreshold() throws {
        let bench = try Bench()
        let compactor = BackgroundCompactor(
            try bench.hydration(), threshold: 3, log: Bench.log)
        for count in 1...4 {
            #expect(try packs(bench) == count - 1)
            try bench.push(bench.onePush())
            compactor.pushed(to: bench.repository, packs: count, before: count - 1)
        }
        try wait(for: "the packs to be folded") { try packs(bench) == 1 }
        _ = try bench.check()
        compactor.stop()
        #expect(try bench.leftovers().isEmpty)
    }

    @Test func oneCompactionRunsAtATime() throws {
        let bench = try Bench()
        for _ in 0..<4 { try bench.push(bench.onePush()) }
        let scratch = try TemporaryDirectory()
        let script = """
            mkdir '\(scratch.path)/alone' || : >'\(scratch.path)/clash'
            echo >>'\(scratch.path)/runs'
            while [ ! -e '\(scratch.path)/go' ]; do sleep 0.02; done
            rmdir '\(scratch.path)/alone'; \(bench.git.path) "$@"
            """
        let compactor = BackgroundCompactor(
            try bench.hydration(packingWith: script), threshold: 3, log: Bench.log)
        let other = try #require(RepositoryName("no/body"))
        for _ in 0..<5 {
            compactor.pushed(to: bench.repository, packs: 4, before: 3)
            compactor.pushed(to: other, packs: 4, before: 3)
        }
        try wait(for: "git to run") { try Files.size(of: scratch.path + "/runs") != nil }
        compactor.pushed(to: bench.repository, packs: 4, before: 3)
        try Files.write([], to: scratch.path + "/go")
        try wait(for: "the packs to be folded") { try packs(bench) == 1 }
        compactor.stop()
        #expect(try Files.size(of: scratch.path + "/runs") == 1)
        #expect(try Files.size(of: scratch.path + "/clash") == nil)
    }

    @Test func nextPushDoesNotRepeatAFailure() throws {
        let bench = try Bench()
        for _ in 0..<4 { try bench.push(bench.onePush()) }
        let scratch = try TemporaryDirectory()
        let log = LogRecorder()
        let compactor = BackgroundCompactor(
            try bench.hydration(packingWith: "echo >>'\(scratch.path)/runs'; exit 1"),
            threshold: 3, log: log.logger)
        compactor.pushed(to: bench.repository, packs: 4, before: 3)
        try wait(for: "the failure") { log.infoMessages.contains("compaction failed") }
        for _ in 0..<5 { compactor.pushed(to: bench.repository, packs: 4, before: 3) }
        compactor.stop()
        #expect(try Files.size(of: scratch.path + "/runs") == 1)
        #expect(try packs(bench) == 4)
        #expect(log.infoMessages == ["compaction started", "compaction failed"])
    }

    @Test func stopEndsGitAndPublishesNothing() throws {
        let bench = try Bench()
        for _ in 0..<4 { try bench.push(bench.onePush()) }
        let scratch = try TemporaryDirectory()
        let log = LogRecorder()
        let compactor = BackgroundCompactor(
            try bench.hydration(packingWith: ": >'\(scratch.path)/runs'; sleep 600"),
            threshold: 3, log: log.logger)
        compactor.pushed(to: bench.repository, packs: 4, before: 3)
        try wait(for: "git to run") { try Files.size(of: scratch.path + "/runs") != nil }
        compactor.stop()
        #expect(log.infoMessages == ["compaction started", "compaction stopped"])
        #expect(try bench.leftovers().isEmpty)
        compactor.pushed(to: bench.repository, packs: 4, before: 3)
        #expect(log.infoMessages.count == 2)
        #expect(try packs(bench) == 4)
    }

    @Test func everythingRunsAtALowerPriority() throws {
        let bench = try Bench()
        for _ in 0..<4 { try bench.push(bench.onePush()) }
        let scratch = try TemporaryDirectory()
        // It is set once the shell runs: that it was not yet may be seen, too. proc(5), stat.
        let script = """
            for _ in $(seq 500); do
                nice=$(cut -d ' ' -f 19 /proc/$$/stat)
                [ "$nice" = 10 ] && : >'\(scratch.path)/low' && exit 1
                sleep 0.02
            done
            exit 2
            """
        let packing = try bench.hydration(packingWith: script)
        #expect(throws: GitError.self) { try bench.compact(in: packing) }
        #expect(try Files.size(of: scratch.path + "/low") != nil)

        Files.removeTree(scratch.path + "/low")
        for pack in try bench.published().manifest.packs {
            bench.memory.plant(nil, at: .packIndex(pack))
        }
        let log = LogRecorder()
        let compactor = BackgroundCompactor(
            try bench.hydration(packingWith: script, instead: "index-pack"), threshold: 3,
            log: log.logger)
        compactor.pushed(to: bench.repository, packs: 4, before: 3)
        try wait(for: "the failure") { log.infoMessages.contains("compaction failed") }
        #expect(try Files.size(of: scratch.path + "/low") != nil)
        compactor.stop()
    }

    @Test func pushDuringTheHandoverStartsNoSecondCompaction() throws {
        let log = LogRecorder()
        let compactor = BackgroundCompactor(
            try Bench().hydration(), threshold: 1, log: log.logger)
        let rounds = 4000
        for round in 1...rounds {
            let name = try #require(RepositoryName("nobody/r\(round)"))
            compactor.pushed(to: name, packs: 2, before: 1)
            // Its last word; it ends right after that.
            let start = ContinuousClock.now
            while log.infoMessages.count < 2 * round, .now - start < .seconds(20) { sched_yield() }
        }
        compactor.stop()
        #expect(log.infoMessages.count == 2 * rounds)
    }
}
