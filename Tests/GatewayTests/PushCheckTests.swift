import GitProtocol
import ObjectStore
import Repository
import Testing

@testable import Gateway

@Suite("What is refused before git starts")
struct PushCheckTests {
    private static let zero = String(repeating: "0", count: 40)
    private static let one = String(repeating: "1", count: 40)

    private func refusal(
        _ names: [String], format: ObjectFormat = .sha1, digits: Int = 40,
        capabilities: String = "report-status"
    ) throws -> PushReport? {
        let zero = String(repeating: "0", count: digits)
        let one = String(repeating: "1", count: digits)
        var bytes: [UInt8] = []
        for (index, name) in names.enumerated() {
            let tail = index == 0 ? "\0\(capabilities)" : ""
            PktLine.append(Array("\(zero) \(one) \(name)\(tail)".utf8), to: &bytes)
        }
        var rest = (bytes + PktLine.flushBytes)[...]
        let reader = PktLineReader { count in
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        let head = try #require(RefName("refs/heads/main"))
        return try PushCheck(Manifest(head: head, objectFormat: format)).refusal(
            of: try #require(try PushCommands.read(from: reader)))
    }

    @Test("a name that is not safe refuses every ref, each with its reason")
    func unsafeNames() throws {
        for name in ["HEAD", "refs/heads/a b", "refs/../x", "refs/heads/a..b", "main", ""] {
            let report = try #require(try refusal(["refs/heads/good", name]))
            #expect(report.accepted.isEmpty && report.unpackError == nil)
            #expect(
                report.rejected.map(\.rawName) == ["refs/heads/good", name].map { Array($0.utf8) })
            #expect(report.rejected.last?.reason == Array("funny refname".utf8))
        }
    }

    @Test("one name twice refuses every ref, two forms of é do not")
    func duplicates() throws {
        #expect(try refusal(["refs/heads/a", "refs/heads/b", "refs/heads/a"])?.rejected.count == 3)
        #expect(try refusal(["refs/heads/\u{e9}", "refs/heads/e\u{301}"]) == nil)
    }

    @Test("ids and format must be the repository's")
    func formats() throws {
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
