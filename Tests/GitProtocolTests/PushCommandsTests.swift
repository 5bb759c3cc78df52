import Testing

@testable import GitProtocol

/// A request's commands, built line by line.
struct PushRequest {
    static let zero = String(repeating: "0", count: 40)
    static let one = String(repeating: "1", count: 40)
    static let two = String(repeating: "2", count: 40)

    var bytes: [UInt8] = []

    mutating func line(_ text: String) { PktLine.append(Array(text.utf8), to: &bytes) }
    mutating func flush() { bytes += PktLine.flushBytes }

    static func of(_ lines: String..., options: [String]? = nil) -> [UInt8] {
        var request = PushRequest()
        for text in lines { request.line(text) }
        request.flush()
        if let options {
            for option in options { request.line(option) }
            request.flush()
        }
        return request.bytes
    }
}

/// A push's commands.
@Suite struct PushCommandsTests {
    private let zero = PushRequest.zero
    private let one = PushRequest.one
    private let two = PushRequest.two
    private let capabilities =
        " report-status-v2 side-band-64k object-format=sha1 agent=git/2.39.5"

    private func read(_ bytes: [UInt8]) throws -> PushCommands {
        try PushCommands.read(from: reading(bytes))
    }

    @Test func remainingCommandsKeepTheRequestsOptions() throws {
        let list = "report-status push-options atomic"
        let push = try read(
            PushRequest.of(
                "shallow \(two)", "\(zero) \(one) refs/heads/a\0\(list)",
                "\(zero) \(one) refs/heads/b", "\(one) \(zero) refs/heads/c",
                options: ["x=y"]))
        let again = push.remaining { $0 != Array("refs/heads/a".utf8) }
        #expect(
            again.requestForGit
                == PushRequest.of(
                    "shallow \(two)", "\(zero) \(one) refs/heads/b\0\(list) quiet",
                    "\(one) \(zero) refs/heads/c", options: ["x=y"]))
        #expect(again.bringsPack && again.capabilities.isAtomic)
        #expect(!push.remaining { $0 == Array("refs/heads/c".utf8) }.bringsPack)
        let quiet = again.remaining { _ in true }
        #expect(quiet.requestForGit == again.requestForGit)
    }

    @Test func capabilitiesThatLeaveNoRoomForANameAreRefused() throws {
        let list = String(repeating: "x", count: 60_001)
        #expect(throws: ProtocolError.self) {
            try read(PushRequest.of("\(zero) \(one) refs/heads/a\0\(list)"))
        }
        let fits = try read(PushRequest.of("\(zero) \(one) refs/heads/a\0\(list.dropLast())"))
        #expect(!fits.remaining { _ in true }.requestForGit.isEmpty)
    }

    @Test func gitsCommandsAreRead() throws {
        let request = PushRequest.of(
            "\(zero) \(one) refs/heads/main\0\(capabilities)", "\(one) \(two) refs/heads/é",
            "\(two) \(zero) refs/tags/v1")
        let push = try read(request)
        #expect(
            push.commands.map { String(decoding: $0.rawName, as: UTF8.self) }
                == ["refs/heads/main", "refs/heads/é", "refs/tags/v1"])
        #expect(push.commands.map(\.old.hex) == [zero, one, two])
        #expect(push.commands.map(\.new.hex) == [one, two, zero])
        #expect(push.capabilities.has("side-band-64k"))
        #expect(push.capabilities.value(of: "agent") == Array("git/2.39.5".utf8))
        #expect(push.capabilities.value(of: "age") == nil)
        #expect(
            push.capabilities.reporting == PushReporting(report: .wanted, sideBand: .sideBand64k))
        #expect(push.bringsPack)
    }

    @Test func commandsForGitMeanTheSame() throws {
        let request = PushRequest.of(
            "shallow \(two)", "\(zero) \(one) refs/heads/main\0\(capabilities) push-options\n",
            "\(one) \(two) refs/heads/x\n", options: ["a=b", "c\n", ""])
        let push = try read(request)
        let again = try read(push.requestForGit)
        #expect(again.commands == push.commands)
        #expect(again.capabilities == push.capabilities)
        #expect(again.pushOptions == push.pushOptions)
        #expect(again.requestForGit == push.requestForGit)
        #expect(push.pushOptions.count == 3)
        #expect(String(decoding: push.requestForGit, as: UTF8.self).contains("shallow \(two)"))
    }

    @Test func gitIsAlwaysAskedForAReport() throws {
        for line in [
            "\(zero) \(one) refs/heads/a", "\(zero) \(one) refs/heads/a\0",
            "\(zero) \(one) refs/heads/a\0 side-band-64k",
        ] {
            let push = try read(PushRequest.of(line))
            #expect(push.capabilities.reporting.report == .unwanted)
            let again = try read(push.requestForGit)
            #expect(again.capabilities.reporting.report == .wanted)
            #expect(
                again.capabilities.reporting.sideBand == push.capabilities.reporting.sideBand)
        }
    }

    @Test(arguments: ["report-status", "report-status-v2"])
    func reportIsNotRequestedTwice(word: String) throws {
        let push = try read(PushRequest.of("\(zero) \(one) refs/heads/a\0\(word)"))
        #expect(push.capabilities.askingForReport == push.capabilities)
    }

    // G5
    @Test func emptyBodyIsTruncatedAndAFlushHasNoCommands() {
        #expect(throws: ProtocolError.truncated("the commands")) { try read([]) }
        #expect(throws: ProtocolError.self) { try read(PktLine.flushBytes) }
        #expect(throws: ProtocolError.self) { try read(PktLine.flushBytes + Array("PACK".utf8)) }
    }

    @Test func truncationWithinCommandsOrOptionsFails() throws {
        let request = PushRequest.of(
            "\(zero) \(one) refs/heads/main\0 report-status push-options",
            "\(one) \(two) refs/heads/x", options: ["a", "bc"])
        for count in 1..<request.count {
            #expect(throws: ProtocolError.self, "\(count)") {
                try read(Array(request.prefix(count)))
            }
        }
        #expect(try read(request).pushOptions.count == 2)
    }

    @Test func packAfterTheCommandsIsNotRead() throws {
        var rest = (PushRequest.of("\(zero) \(one) refs/heads/a") + Array("PACK".utf8))[...]
        let reader = PktLineReader { count in
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        _ = try PushCommands.read(from: reader)
        #expect(rest.elementsEqual("PACK".utf8))
    }

    @Test(arguments: [
        "push-cert\0 report-status", "push-cert-end", "", "\n", "hello", "shallow",
        "shallow xyz", "shallow \(PushRequest.one)0",
        "\(PushRequest.one) refs/heads/a", "\(PushRequest.one)\(PushRequest.two) refs/heads/a",
        "\(PushRequest.one) \(PushRequest.two)",
        "\(PushRequest.one)  \(PushRequest.two) refs/a/b",
        "\(PushRequest.one.dropLast()) \(PushRequest.two) refs/heads/a",
        "\(PushRequest.one.uppercased().replacing("1", with: "A")) \(PushRequest.two) refs/heads/a",
        "\(PushRequest.one) \(String(repeating: "2", count: 64)) refs/heads/a",
    ])
    func invalidCommandsAreRefused(line: String) {
        #expect(throws: ProtocolError.self) { try read(PushRequest.of(line)) }
        #expect(throws: ProtocolError.self) {
            try read(PushRequest.of("\(zero) \(one) refs/heads/main", line))
        }
    }

    @Test(arguments: ["0001", "0002"])
    func specialPacketsAmongCommandsAreRefused(packet: String) {
        let command = Array(PushRequest.of("\(zero) \(one) refs/heads/a").dropLast(4))
        #expect(throws: ProtocolError.self) { try read(Array(packet.utf8)) }
        #expect(throws: ProtocolError.self) { try read(command + Array("\(packet)0000".utf8)) }
        let options = PushRequest.of("\(zero) \(one) refs/heads/a\0push-options")
        #expect(throws: ProtocolError.self) { try read(options + Array("\(packet)0000".utf8)) }
    }

    @Test func shallowLinesWithoutCommandsAreRefused() {
        #expect(throws: ProtocolError.self) { try read(PushRequest.of("shallow \(one)")) }
    }

    @Test func unsafeNameHasNoUpdate() throws {
        let names = ["HEAD", "refs/heads/a b", "refs/heads/../x", "", "refs/heads/a\n"]
        for name in names {
            let push = try read(PushRequest.of("\(zero) \(one) \(name)\0x"))
            #expect(push.commands.first?.rawName == Array(name.utf8))
            #expect(push.commands.first?.update == nil)
        }
    }

    @Test func idsOfACommandAreOfOneFormat() throws {
        let zero = String(repeating: "0", count: 64)
        let one = String(repeating: "1", count: 64)
        let push = try read(PushRequest.of("\(zero) \(one) refs/heads/a\0object-format=sha256"))
        #expect(push.commands.first?.new.format == .sha256)
        #expect(push.commands.first?.old.isZero == true)
    }

    @Test func deletionsBringNoPack() throws {
        let push = try read(
            PushRequest.of("\(one) \(zero) refs/heads/a", "\(two) \(zero) refs/heads/b"))
        #expect(!push.bringsPack)
    }

    @Test func capabilitiesOfLaterCommandsAreIgnored() throws {
        let push = try read(
            PushRequest.of(
                "\(zero) \(one) refs/heads/a\0 report-status",
                "\(zero) \(one) refs/heads/b\0 side-band-64k push-options"))
        #expect(push.capabilities.reporting.sideBand == .none)
        #expect(!String(decoding: push.requestForGit, as: UTF8.self).contains("side-band"))
    }

    @Test func oversizedCommandsAreRefusedBeforeTheyAreKept() throws {
        let line = PushRequest.of(
            "\(zero) \(one) refs/heads/" + String(repeating: "a", count: 60_000)
        )
        .dropLast(4)
        var read = 0
        let reader = PktLineReader { count in
            defer { read += count }
            let start = read % line.count
            return Array(line[start..<start + count])
        }
        var limits = PushCommands.Limits()
        limits.size = 1 << 20
        #expect {
            try PushCommands.read(from: reader, limits: limits)
        } throws: { error in
            if case ProtocolError.tooLarge = error { true } else { false }
        }
        #expect(read <= (1 << 20) + 70_000)
    }

    @Test(arguments: 65_400...65_433)
    func firstCommandWithoutRoomForAReportIsRefused(count: Int) throws {
        let name = "refs/heads/" + String(repeating: "a", count: count - 11)
        let line = "\(zero) \(one) \(name)\0"
        guard line.utf8.count <= PktLine.maximumPayload else { return }
        let result = Result { try read(PushRequest.of(line)) }
        if let push = try? result.get() {
            // It fits: git gets it whole.
            #expect(try read(push.requestForGit).commands == push.commands)
        } else {
            #expect(throws: ProtocolError.self) { try result.get() }
        }
    }
}
