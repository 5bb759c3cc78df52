import Glibc
package import Posix

/// What a program that has ended left behind.
package struct CommandResult: Sendable, CustomStringConvertible {
    /// The command line, for people.
    package let command: String
    package let ending: ChildProcess.Ending
    package let output: [UInt8]
    package let errors: String

    /// Standard output as text.
    package var text: String { String(decoding: output, as: UTF8.self) }

    package var succeeded: Bool { ending == .exited(0) }

    package var description: String {
        "'\(command)' ended with \(ending)\n\(text.prefix(4000))\n\(errors.prefix(4000))"
    }

    /// The result itself, if the program ended well.
    @discardableResult
    package func checked() throws -> CommandResult {
        if succeeded { return self }
        throw TestFailure(description)
    }
}

/// A program that is run to its end.
package struct Command: Sendable {
    package enum Input: Sendable {
        case nothing
        case bytes([UInt8])
        case file(String)
    }

    package var path: String
    package var arguments: [String]
    /// Nothing is inherited.
    package var environment: [String: String]
    package var directory: String?
    package var input: Input
    /// The group is ended then, and the test fails.
    package var limit: Duration

    package init(
        _ path: String, _ arguments: [String], environment: [String: String] = [:],
        directory: String? = nil, input: Input = .nothing, limit: Duration = .seconds(120)
    ) {
        self.path = path
        self.arguments = arguments
        self.environment = environment
        self.directory = directory
        self.input = input
        self.limit = limit
    }

    /// Runs the program and waits for its end, and for that of all that it started and left its
    /// descriptors to.
    package func run() throws -> CommandResult {
        let scratch = try TemporaryDirectory()
        let input = try openInput(scratch)
        let output = try OwnedDescriptor.open(scratch.path + "/out", O_RDWR | O_CREAT)
        let errors = try OwnedDescriptor.open(scratch.path + "/err", O_RDWR | O_CREAT)
        // Its writing end is the child's alone: the end of the pipe is the end of the child.
        let (first, second) = try OwnedDescriptor.pipe().release()
        let reading = OwnedDescriptor(taking: first)
        var writing: OwnedDescriptor? = OwnedDescriptor(taking: second)
        let child = try ChildProcess(
            ChildProcess.Launch(
                path: path, arguments: arguments,
                environment: environment.map { "\($0.key)=\($0.value)" }, directory: directory,
                input: input.raw, output: output.raw, error: errors.raw,
                channel: writing?.raw))
        writing = nil
        let ended = try Self.hasEnded(reading.raw, within: limit)
        if !ended { child.signalGroup(SIGKILL) }
        let result = CommandResult(
            command: ([path] + arguments).joined(separator: " "), ending: try child.wait(),
            output: try Files.read(scratch.path + "/out"),
            errors: String(decoding: try Files.read(scratch.path + "/err"), as: UTF8.self))
        if !ended { throw TestFailure("Not over after \(limit): \(result)") }
        return result
    }

    private func openInput(_ scratch: TemporaryDirectory) throws -> OwnedDescriptor {
        switch input {
        case .nothing: try OwnedDescriptor.open("/dev/null", O_RDONLY)
        case .bytes(let bytes):
            try OwnedDescriptor.open(try scratch.file("in", bytes), O_RDONLY)
        case .file(let path): try OwnedDescriptor.open(path, O_RDONLY)
        }
    }

    private static func hasEnded(_ pipe: Int32, within limit: Duration) throws -> Bool {
        var entry = pollfd(fd: pipe, events: Int16(POLLIN), revents: 0)
        let milliseconds = Int32(limit.components.seconds * 1000)
        return try check("poll") { poll(&entry, 1, milliseconds) } > 0
    }
}
