import GitProtocol
import ObjectStore
import Testing

@testable import Push
@testable import Repository

/// Pushes that are refused before git starts.
@Suite struct PushCheckTests {
    private static let zero = String(repeating: "0", count: 40)
    private static let one = String(repeating: "1", count: 40)

    private func refusal(
        _ names: [String], format: ObjectFormat = .sha1, digits: Int = 40,
        capabilities: String = "report-status"
    ) throws -> PushReport? {
        if case .refuse(let report) = try verdict(names, format, digits, capabilities) {
            report
        } else {
            nil
        }
    }

    private func verdict(
        _ names: [String], _ format: ObjectFormat = .sha1, _ digits: Int = 40,
        _ capabilities: String = "report-status"
    ) throws -> PushCheck.Verdict {
        try verdict(names.map { Array($0.utf8) }, format, digits, capabilities)
    }

    private func verdict(
        _ names: [[UInt8]], _ format: ObjectFormat = .sha1, _ digits: Int = 40,
        _ capabilities: String = "report-status"
    ) throws -> PushCheck.Verdict {
        let zero = String(repeating: "0", count: digits)
        let one = String(repeating: "1", count: digits)
        var bytes: [UInt8] = []
        for (index, name) in names.enumerated() {
            let tail = index == 0 ? "\0\(capabilities)" : ""
            PktLine.append(Array("\(zero) \(one) ".utf8) + name + tail.utf8, to: &bytes)
        }
        var rest = (bytes + PktLine.flushBytes)[...]
        let reader = PktLineReader { count in
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        let head = try #require(RefName("refs/heads/main"))
        return try PushCheck(Manifest(head: head, objectFormat: format)).verdict(
            on: try PushCommands.read(from: reader))
    }

    private static let long = "refs/heads/" + String(repeating: "a", count: 1014)

    /// Unsafe names, each with git's reason or ours.
    private static let unsafeNames: [(name: [UInt8], reason: String)] =
        ["HEAD", "refs/heads/a b", "refs/../x", "refs/heads/a..b", "main", ""].map {
            (Array($0.utf8), "funny refname")
        } + [
            (Array("refs/heads/caf".utf8) + [0xe9], "refname is not valid UTF-8"),
            (Array(long.utf8), "refname is longer than 1024 bytes"),
        ]

    // N3
    @Test func unsafeNameIsRefusedAndOtherRefsGoToGit() throws {
        for (name, reason) in Self.unsafeNames {
            let good = Array("refs/heads/good".utf8)
            guard case .receive(let refused) = try verdict([good, name]) else {
                Issue.record("\(name) refused the other ref")
                continue
            }
            #expect(refused == [PushReport.Rejection(rawName: name, reason: reason)])
        }
    }

    // N3
    @Test func pushIsRefusedAsAWholeIfNothingRemains() throws {
        for (name, reason) in Self.unsafeNames {
            let good = Array("refs/heads/good".utf8)
            for capabilities in ["report-status atomic", ""] {
                guard
                    case .refuse(let report) = try verdict(
                        [good, name, good + [0x31]], .sha1, 40, capabilities)
                else {
                    Issue.record("\(name) was left out")
                    continue
                }
                #expect(report.accepted.isEmpty && report.unpackError == nil)
                #expect(report.rejected.map(\.rawName) == [name, good, good + [0x31]])
                #expect(
                    report.rejected.map { String(decoding: $0.reason, as: UTF8.self) }
                        == [reason, "atomic push failure", "atomic push failure"])
            }
            guard case .refuse(let report) = try verdict([name, name + [0x20]]) else {
                Issue.record("\(name) was left out")
                continue
            }
            #expect(report.rejected.count == 2)
        }
    }

    @Test func repeatedNameIsRefusedAndEquivalentFormsAreNot() throws {
        let twice = ["refs/heads/a", "refs/heads/b", "refs/heads/a"]
        guard case .receive(let refused) = try verdict(twice) else {
            Issue.record("refused as a whole")
            return
        }
        let reason = "multiple updates for one ref"
        let rejection = PushReport.Rejection(rawName: Array("refs/heads/a".utf8), reason: reason)
        #expect(refused == [rejection, rejection])
        #expect(try refusal(twice, capabilities: "report-status atomic")?.rejected.count == 3)
        guard case .receive(let none) = try verdict(["refs/heads/\u{e9}", "refs/heads/e\u{301}"])
        else {
            Issue.record("refused as a whole")
            return
        }
        #expect(none.isEmpty)
    }

    @Test func idsAndFormatMustBeTheRepositorys() throws {
        #expect(try refusal(["refs/heads/a"]) == nil)
        #expect(
            try refusal(
                ["refs/heads/a"], format: .sha256, digits: 64,
                capabilities: "object-format=sha256") == nil)
        #expect(throws: ProtocolError.self) {
            try refusal(["refs/heads/a"], format: .sha256, capabilities: "object-format=sha256")
        }
        #expect(throws: ProtocolError.self) { try refusal(["refs/heads/a"], digits: 64) }
        #expect(throws: ProtocolError.self) {
            try refusal(["refs/heads/a"], format: .sha256, digits: 64)
        }
        #expect(throws: ProtocolError.self) {
            try refusal(["refs/heads/a"], capabilities: "object-format=sha256")
        }
    }
}
