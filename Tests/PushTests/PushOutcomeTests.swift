import GitProtocol
import ObjectStore
import Posix
import TestSupport
import Testing

@testable import Git
@testable import Push
@testable import Repository

/// git's report, its changes, the request and the permission must agree.
@Suite struct PushOutcomeTests {
    private static let zero = String(repeating: "0", count: 40)
    private static let one = String(repeating: "1", count: 40)
    private static let two = String(repeating: "2", count: 40)

    private struct Case {
        var commands = ["\(zero) \(one) refs/heads/a", "\(one) \(two) refs/heads/b"]
        var report = ["unpack ok", "ok refs/heads/a", "ok refs/heads/b"]
        var allowed = ["\(zero) \(one) refs/heads/a", "\(one) \(two) refs/heads/b"]
        var before = ["refs/heads/b": one, "refs/heads/c": one]
        var after = ["refs/heads/a": one, "refs/heads/b": two, "refs/heads/c": one]

        func judge() throws -> Bool {
            var request: [UInt8] = []
            for line in commands { PktLine.append(Array(line.utf8), to: &request) }
            var text: [UInt8] = []
            for line in report { PktLine.append(Array("\(line)\n".utf8), to: &text) }
            var rest = (request + PktLine.flushBytes)[...]
            let reader = PktLineReader { count in
                defer { rest = rest.dropFirst(count) }
                return Array(rest.prefix(count))
            }
            let head = try #require(RefName("refs/heads/main"))
            return try PushOutcome(
                commands: try PushCommands.read(from: reader),
                report: try PushReport(parsing: text + PktLine.flushBytes),
                allowed: try allowed.map { try #require(RefUpdate(line: Array($0.utf8))) },
                parent: Manifest(head: head, refs: try Self.refs(before)),
                refs: WorkspaceRefs(ids: try Self.refs(after))
            ).isChange
        }

        private static func refs(_ texts: [String: String]) throws -> [RefName: ObjectID] {
            try Dictionary(
                uniqueKeysWithValues: texts.map {
                    (try #require(RefName($0.key)), try #require(ObjectID(Array($0.value.utf8))))
                })
        }
    }

    private func expectUnproven(
        sourceLocation: SourceLocation = #_sourceLocation, _ change: (inout Case) -> Void
    ) {
        var changed = Case()
        change(&changed)
        #expect(throws: PushError.self, sourceLocation: sourceLocation) {
            try changed.judge()
        }
    }

    @Test func outcomeHoldsIfAllAgree() throws {
        #expect(try Case().judge())
        var partly = Case()
        partly.report = ["unpack ok", "ng refs/heads/a no", "ok refs/heads/b"]
        partly.after["refs/heads/a"] = nil
        #expect(try partly.judge())
        partly.report = ["unpack ok", "ng refs/heads/a no", "ng refs/heads/b no"]
        partly.after = partly.before
        #expect(try !partly.judge())
        partly.report = ["unpack failed", "ng refs/heads/a n", "ng refs/heads/b n"]
        #expect(try !partly.judge())
    }

    @Test func outcomeFailsIfARefMovedUnreported() {
        expectUnproven { $0.after["refs/heads/c"] = Self.two }
        expectUnproven { $0.after["refs/heads/c"] = nil }
        expectUnproven { $0.after["refs/heads/d"] = Self.one }
        expectUnproven { $0.after["refs/heads/b"] = Self.one }
        expectUnproven { $0.after["refs/heads/b"] = nil }
        expectUnproven { $0.report = ["unpack ok", "ok refs/heads/a", "ng refs/heads/b x"] }
        expectUnproven { $0.report = ["unpack ok", "ok refs/heads/a"] }
        expectUnproven { $0.report = ["unpack failed"] }
    }

    @Test func outcomeFailsIfMoreIsReportedThanAllowed() {
        expectUnproven { $0.allowed = [] }
        expectUnproven { $0.allowed.removeLast() }
        expectUnproven { $0.allowed[1] = "\(Self.one) \(Self.one) refs/heads/b" }
        expectUnproven { $0.allowed[1] = "\(Self.zero) \(Self.two) refs/heads/b" }
        expectUnproven { $0.report.append("ok refs/heads/c") }
        expectUnproven { $0.report.append("ok HEAD") }
        expectUnproven { $0.commands.removeLast() }
    }

    @Test func outcomeFailsIfOkFollowsAFailedUnpack() {
        expectUnproven {
            $0.report[0] = "unpack index-pack abnormal exit"
            $0.after = $0.before
        }
    }

    @Test func outcomeFailsIfOkIsUnasked() {
        expectUnproven {
            $0.report = ["unpack ok", "ok refs/heads/a", "ok refs/heads/b"]
            $0.after = $0.before
        }
    }
}
