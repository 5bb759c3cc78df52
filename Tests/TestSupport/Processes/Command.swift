package import Glibc
package import Posix

/// The result of a program that has ended.
package struct CommandResult: Sendable, CustomStringConvertible {
    /// The command line, for people.
    package let command: String
    package let ending: ChildProcess.Ending
    package let output: [UInt8]
    package let errors: String

    /// Standard output as text.
    package var text: String { String(decoding: output, as: UTF8.self) }

    /// Standard output as text, without the newline at its end.
    package var line: String {
        let text = text
        return text.hasSuffix("\n") ? String(text.dropLast()) : text
    }

    package var succeeded: Bool { ending == .exited(0) }

    package var description: String {
        "'\(command)' ended with \(ending)\n\(text.prefix(4000))\n\(errors.prefix(4000))"
    }

    /// The result itself, if the program succeeded.
    @discardableResult
    package func checked() throws -> CommandResult {
        if succeeded { return self }
        throw TestFailure(description)
    }
}

/// A program that is run to its end, with a time limit and an environment of its own.
package struct Command: Sendable {
    package enum Input: Sendable {
        case nothing
        case bytes([UInt8])
        case file(String)
        /// A descriptor of the caller's.
        case descriptor(Int32)
    }

    package var path: String
    package var arguments: [String]
    /// Nothing is inherited.
    package var environment: [String: String]
    package var directory: String?
    package var input: Input
    /// Becomes descriptor 3; a descriptor of the caller's.
    package var channel: Int32?
    /// The group is killed after this, and the test fails.
    package var limit: Duration

    package init(
        _ path: String, _ arguments: [String], environment: [String: String] = [:],
        directory: String? = nil, input: Input = .nothing, channel: Int32? = nil,
        limit: Duration = .seconds(120)
    ) {
        self.path = path
        self.arguments = arguments
        self.environment = environment
        self.directory = directory
        self.input = input
        self.channel = channel
        self.limit = limit
    }

    /// The installed git, without configuration, and with the same names and dates each time.
    package static func git(
        _ arguments: [String], in directory: String? = nil, input: [UInt8] = [],
        environment: [String: String] = [:]
    ) throws -> Command {
        let date = "1700000000 +0000"
        let fixed = [
            "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.com",
            "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_NAME": "C",
            "GIT_COMMITTER_EMAIL": "c@example.com", "GIT_COMMITTER_DATE": date,
        ]
        return Command(
            try Programs.git(), arguments, environment: fixed.merging(environment) { $1 },
            directory: directory, input: .bytes(input))
    }

    /// Runs ``git(_:in:input:environment:)``, which must succeed.
    @discardableResult
    package static func runGit(
        _ arguments: [String], in directory: String? = nil, input: [UInt8] = []
    ) throws -> CommandResult {
        try git(arguments, in: directory, input: input).run().checked()
    }

    /// Runs the program and waits for its end.
    package func run() throws -> CommandResult { try start().finish() }

    /// Starts the program.
    package func start() throws -> RunningCommand { try RunningCommand(self) }
}

/// A program that has been started. Its process group is killed if it is dropped.
package struct RunningCommand: ~Copyable {
    private let child: ChildProcess
    private let command: Command
    private let scratch: TemporaryDirectory

    fileprivate init(_ command: Command) throws {
        let scratch = try TemporaryDirectory()
        var file = Int32(-1)
        var opened: OwnedDescriptor?
        switch command.input {
        case .nothing: opened = try .open("/dev/null", O_RDONLY)
        case .bytes(let bytes): opened = try .open(try scratch.file("in", bytes), O_RDONLY)
        case .file(let path): opened = try .open(path, O_RDONLY)
        case .descriptor(let descriptor): file = descriptor
        }
        let owned = opened.take()
        let output = try OwnedDescriptor.open(scratch.path + "/out", O_RDWR | O_CREAT)
        let errors = try OwnedDescriptor.open(scratch.path + "/err", O_RDWR | O_CREAT)
        switch owned {
        case .some(let input):
            child = try Self.launch(command, input.raw, output.raw, errors.raw)
        case .none:
            child = try Self.launch(command, file, output.raw, errors.raw)
        }
        self.command = command
        self.scratch = scratch
    }

    private static func launch(
        _ command: Command, _ input: Int32, _ output: Int32, _ error: Int32
    ) throws -> ChildProcess {
        try ChildProcess(
            ChildProcess.Launch(
                path: command.path, arguments: command.arguments,
                environment: command.environment.map { "\($0.key)=\($0.value)" },
                directory: command.directory, input: input, output: output, error: error,
                channel: command.channel))
    }

    package var identifier: pid_t { child.identifier }
    package var hasEnded: Bool { child.hasEnded }

    /// Standard output so far.
    package var output: [UInt8] { (try? Files.read(scratch.path + "/out")) ?? [] }

    /// Standard error so far.
    package var errors: String {
        String(decoding: (try? Files.read(scratch.path + "/err")) ?? [], as: UTF8.self)
    }

    /// Signals the process alone.
    package func signal(_ number: Int32) { kill(identifier, number) }

    /// Signals the process and all that it started.
    package func signalGroup(_ number: Int32) { child.signalGroup(number) }

    /// Waits for the end, and kills what is left of the process group.
    package consuming func finish() throws -> CommandResult {
        let limit = command.limit
        let isLate = try !child.hasEnded(within: limit)
        if isLate { child.signalGroup(SIGKILL) }
        let (command, scratch) = (command, scratch)
        let result = CommandResult(
            command: ([command.path] + command.arguments).joined(separator: " "),
            ending: try child.wait(), output: try Files.read(scratch.path + "/out"),
            errors: String(decoding: try Files.read(scratch.path + "/err"), as: UTF8.self))
        if isLate { throw TestFailure("Not over after \(limit): \(result)") }
        return result
    }
}

extension ChildProcess {
    /// Waits until the child has ended, or for as long as given; whether it has. poll(2).
    fileprivate func hasEnded(within limit: Duration) throws -> Bool {
        guard let end = endDescriptor() else {
            let deadline = ContinuousClock.now + limit
            while !hasEnded, ContinuousClock.now < deadline { usleep(1000) }
            return hasEnded
        }
        let milliseconds = Int32(limit.components.seconds * 1000)
        var entry = pollfd(fd: end.raw, events: Int16(POLLIN), revents: 0)
        return try check("poll") { poll(&entry, 1, milliseconds) } > 0
    }
}
