import Testing

@testable import GitProtocol

/// The cost of a push's lines.
@Suite struct PushCostTests {
    private static let ids = "\(PushRequest.zero) \(PushRequest.one)"

    private func request(
        commands: Int, name: String = "refs/heads/", capabilities: String = "",
        options: [String] = []
    ) -> [UInt8] {
        var request = PushRequest()
        for number in 0..<commands {
            let list = number == 0 ? "\0\(capabilities)" : ""
            request.line("\(Self.ids) \(name)\(number)\(list)")
        }
        request.flush()
        for option in options { request.line(option) }
        if !options.isEmpty { request.flush() }
        return request.bytes
    }

    // M3
    @Test func capabilitiesAreStoredOnce() throws {
        let list = Array(repeating: "x", count: 29_000).joined(separator: " ")
        let push = try PushCommands.read(
            from: reading(request(commands: 4000, capabilities: list)))
        #expect(push.commands.count == 4000)
        // The same bytes in memory each time, and not a new list.
        let (first, second) = (push.capabilities.bytes, push.capabilities.bytes)
        let addresses = [first, second].map {
            $0.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
        }
        #expect(addresses[0] == addresses[1])
        #expect(first == Array(list.utf8))
    }

    // M4
    @Test func commandsTakeLittleMoreThanTheirBytes() throws {
        let bytes = request(commands: 20_000, name: "refs/heads/é/")
        let push = try PushCommands.read(from: reading(bytes))
        #expect(push.commands.storedBytes <= bytes.count)
        for number in [0, 1, 9_999, 19_999] {
            let command = push.commands[number]
            #expect("\(command.old) \(command.new)" == Self.ids)
            #expect(command.rawName == Array("refs/heads/é/\(number)".utf8))
        }
        #expect(push.commands.map(\.rawName).count == 20_000)
    }

    // M4
    @Test func pushOptionsHaveTheirOwnLimits() throws {
        func read(
            _ commands: Int, _ options: [String], _ limits: PushCommands.Limits
        ) throws -> PushCommands {
            try PushCommands.read(
                from: reading(
                    request(commands: commands, capabilities: "push-options", options: options)),
                limits: limits)
        }
        func expectTooLarge(
            _ commands: Int, _ options: [String], _ limits: PushCommands.Limits = .init(),
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            #expect(sourceLocation: sourceLocation) {
                try read(commands, options, limits)
            } throws: { error in
                if case ProtocolError.tooLarge = error { true } else { false }
            }
        }
        let many = Array(repeating: "", count: 10_000)
        #expect(try read(1, many, .init()).pushOptions.count == 10_000)
        expectTooLarge(1, many + ["x"])
        // 1 MiB with the lengths of the lines.
        let large = Array(repeating: String(repeating: "x", count: 65_532 - 16), count: 16)
        #expect(try read(1, large, .init()).pushOptions.count == 16)
        expectTooLarge(1, large + [String(repeating: "x", count: 300)])

        var limits = PushCommands.Limits()
        #expect(limits.lines == 500_000 && limits.size == 64 << 20)
        limits.lines = 100
        #expect(try read(100, ["x"], limits).commands.count == 100)
        expectTooLarge(101, ["x"], limits)
    }

    // N3
    @Test func reportFollowsTheOrderOfTheCommands() throws {
        func bytes(_ name: String) -> [UInt8] { Array(name.utf8) }
        var request = PushRequest()
        for name in ["a", "b", "c", "b", "d"] { request.line("\(Self.ids) \(name)") }
        request.flush()
        let commands = try PushCommands.read(from: reading(request.bytes)).commands
        func report(_ names: [String]) -> PushReport {
            PushReport(
                unpackError: nil,
                rejected: names.enumerated().map {
                    PushReport.Rejection(rawName: bytes($0.element), reason: "\($0.offset)")
                })
        }
        func arranged(_ names: [String]) -> [String] {
            report(names).arranged(like: commands).rejected.map {
                String(decoding: $0.rawName + $0.reason, as: UTF8.self)
            }
        }
        #expect(arranged(["d", "b", "c", "a", "b"]) == ["a3", "b1", "c2", "b4", "d0"])
        #expect(arranged(["d", "x", "a"]) == ["a2", "d0", "x1"])
        let same = report(["a", "b", "c", "b", "d"])
        #expect(same.arranged(like: commands) == same)
        #expect(report(["b", "a"]).arranged(like: CommandList()) == report(["b", "a"]))
    }
}
