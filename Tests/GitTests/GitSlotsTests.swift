import Glibc
import ObjectStore
import Posix
import Synchronization
import TestSupport
import Testing

@testable import Git

/// The line for git processes, and those that hold one.
@Suite struct GitSlotsTests {
    private func client(_ address: String, user: String = "") -> GitProgram.Client {
        GitProgram.Client(user: user, address: address, protocolVersion: "")
    }

    /// A request that takes a slot in a thread of its own, and keeps it until it may end.
    private final class Request: Sendable {
        let mayEnd = Gate()
        private let run: Background<Void>

        /// Returns once the request is in the line.
        init(
            _ name: String, of client: GitProgram.Client, _ slots: GitSlots, in log: Log
        ) throws {
            let before = slots.waiting
            run = Background { [mayEnd] in
                let slot = try slots.take(for: client)
                log.served.withLock { $0.append(name) }
                mayEnd.pass()
                _ = consume slot
            }
            try wait(for: "'\(name)' to be in the line") { slots.waiting == before + 1 }
        }

        func end() throws {
            mayEnd.open()
            try run.value()
        }
    }

    /// The requests that were served, in their order.
    private final class Log: Sendable {
        let served = Mutex<[String]>([])
        var names: [String] { served.withLock { $0 } }
    }

    @Test(arguments: [1, 3])
    func slotsAreBoundedAndEveryWaiterGetsOne(count: Int) throws {
        let slots = GitSlots(count)
        let held = Mutex((now: 0, most: 0, all: 0))
        _ = try concurrently(12) { number in
            for _ in 0..<20 {
                let slot = try slots.take(for: client("\(number % 5)"))
                held.withLock { held in
                    held.now += 1
                    held.all += 1
                    held.most = max(held.most, held.now)
                }
                usleep(200)
                held.withLock { $0.now -= 1 }
                _ = consume slot
            }
        }
        #expect(held.withLock { $0.all } == 240)
        #expect(held.withLock { $0.most } <= count)
        #expect(slots.waiting == 0)
    }

    @Test func clientsTakeTurnsWhateverTheNumberOfTheirRequests() throws {
        let slots = GitSlots(1)
        let first = try slots.take(for: client("busy"))
        let log = Log()
        let requests = [
            try Request("a1", of: client("a"), slots, in: log),
            try Request("a2", of: client("a"), slots, in: log),
            try Request("a3", of: client("a"), slots, in: log),
            try Request("b1", of: client("b"), slots, in: log),
            // A user counts as one client, wherever it comes from.
            try Request("u1", of: client("a", user: "u"), slots, in: log),
            try Request("u2", of: client("b", user: "u"), slots, in: log),
        ]
        _ = consume first
        for request in requests { request.mayEnd.open() }
        for request in requests { try request.end() }
        #expect(log.names == ["a1", "b1", "u1", "a2", "u2", "a3"])
    }

    @Test func lentSlotServesOthersAndComesBackFirst() throws {
        let slots = GitSlots(1)
        let slot = try slots.take(for: client("lender"))
        let log = Log()
        let other = try Request("other", of: client("other"), slots, in: log)
        let late = try Request("late", of: client("late"), slots, in: log)
        let ending = Background {
            try wait(for: "the lender to come back") { slots.waiting == 2 }
            other.mayEnd.open()
        }
        try slot.lend {
            try wait(for: "the other request to be served") { log.names == ["other"] }
        }
        try ending.value()
        #expect(log.names == ["other"], "the late one waits, though it came first")
        late.mayEnd.open()
        _ = consume slot
        try other.end()
        try late.end()
        #expect(log.names == ["other", "late"])
    }

    @Test func lentSlotsDoNotMultiplyProcessesWithoutBound() throws {
        let slots = GitSlots(1)
        let served = Mutex(0)
        let gate = Gate()
        let lenders = (0..<6).map { number in
            Background {
                let slot = try slots.take(for: client("\(number)"))
                served.withLock { $0 += 1 }
                slot.lend { gate.pass() }
            }
        }
        try wait(for: "four lenders, and two in the line") {
            served.withLock { $0 } == 4 && slots.waiting == 2
        }
        gate.open()
        for lender in lenders { try lender.value() }
        #expect(served.withLock { $0 } == 6)
    }

    @Test func waitEndsAfterTheTimeLimit() throws {
        let slots = GitSlots(1, patience: .milliseconds(50))
        let slot = try slots.take(for: client("a"))
        do {
            _ = try slots.take(for: client("b"))
            Issue.record("a second slot was taken")
        } catch {
            #expect("\(error)" == "\(GitError.busy)")
        }
        #expect(slots.waiting == 0)
        _ = consume slot
        _ = try slots.take(for: client("b"))
    }

    @Test func closingSendsEveryoneAway() throws {
        let slots = GitSlots(1)
        let slot = try slots.take(for: client("a"))
        let waiting = (0..<3).map { number in
            Background {
                do {
                    _ = try slots.take(for: client("\(number)"))
                    return "served"
                } catch {
                    return "\(error)"
                }
            }
        }
        try wait(for: "the requests to be in the line") { slots.waiting == 3 }
        slots.close()
        for request in waiting { #expect(try request.value() == "\(GitError.busy)") }
        _ = consume slot
        #expect(throws: GitError.self) { _ = try slots.take(for: client("late")) }
    }

    @Test func waitEndsWhenTheClientGoesAway() throws {
        let slots = GitSlots(1)
        let slot = try slots.take(for: client("a"))
        let (ours, theirs) = try OwnedDescriptor.socketPair().release()
        let waiting = Background {
            do {
                _ = try slots.take(for: client("b"), hangup: ours)
                return "served"
            } catch {
                return "\(error)"
            }
        }
        try wait(for: "the request to be in the line") { slots.waiting == 1 }
        close(theirs)
        #expect(try waiting.value() == "\(GitError.clientGone)")
        #expect(slots.waiting == 0)
        close(ours)
        _ = consume slot
    }
}
