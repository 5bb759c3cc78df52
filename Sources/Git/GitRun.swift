import Glibc
package import Posix

/// One run of git in a workspace.
package struct GitRun {
    let arguments: [String]
    /// The purpose of the run; it completes "git failed to …".
    let step: String
    let limits: GitLimits
    var settings: GitSettings
    var input: Input
    var errors: Errors
    var client: GitProgram.Client?
    /// Becomes git's descriptor 3: the channel to our hook.
    var channel: Int32?
    var priority: Priority

    package init(
        _ arguments: [String], to step: String, limits: GitLimits,
        settings: GitSettings = .serving, input: Input = .none, errors: Errors = .kept,
        client: GitProgram.Client? = nil, channel: Int32? = nil, priority: Priority = .normal
    ) {
        self.arguments = arguments
        self.step = step
        self.limits = limits
        self.settings = settings
        self.input = input
        self.errors = errors
        self.client = client
        self.channel = channel
        self.priority = priority
    }

    /// git's standard input.
    package enum Input {
        case none
        /// Bytes that are few enough to be written to a file of the workspace first.
        case bytes([UInt8])
        /// Bytes, and after them a stream that another thread feeds to git.
        case stream(any ByteStream, after: [UInt8])
    }

    /// The destination of git's standard error.
    package enum Errors {
        /// A file of the workspace. The run returns the part that it added.
        case kept
        /// A pipe. Lines of progress are shown, and the others are returned.
        case progress(Progress, title: String)
    }

    /// The priority of git's process group. setpriority(2).
    package enum Priority: Int32, Sendable {
        case normal = 0
        /// For work that nobody waits for.
        case low = 10
    }

    /// A run for an operator's command, which ends together with the command.
    package static func foreign(
        _ arguments: [String], on subject: GitSettings.Subject = .workspace, to step: String,
        input: Input = .none, errors: Errors = .kept
    ) -> GitRun {
        GitRun(
            arguments, to: step, limits: .none, settings: .foreign(subject), input: input,
            errors: errors)
    }

    /// A run for work in the background: at low priority, in bounded memory, and cancelable.
    ///
    /// - Parameter configuration: additional settings, each as `name=value`.
    package static func packing(
        _ arguments: [String], to step: String, cancellation: Cancellation,
        configuration: [String] = [], input: Input = .none
    ) -> GitRun {
        GitRun(
            arguments, to: step, limits: .cancellable(by: cancellation),
            settings: .packing(configuration), input: input, priority: .low)
    }
}

/// When git must end, even if it has not finished.
package struct GitLimits: Sendable {
    /// nil if no time limit applies.
    private(set) var deadline: ContinuousClock.Instant?
    let cancellation: Cancellation?

    /// For an operator's command, together with which git ends.
    package static let none = GitLimits(deadline: nil, cancellation: nil)

    /// For a request, which has a time limit.
    package static func until(_ deadline: ContinuousClock.Instant) -> GitLimits {
        GitLimits(deadline: deadline, cancellation: nil)
    }

    /// For work in the background, which must stop when it is canceled.
    package static func cancellable(by cancellation: Cancellation) -> GitLimits {
        GitLimits(deadline: nil, cancellation: cancellation)
    }

    /// Excludes a time in which git waited from the limit.
    package mutating func extend(by time: Duration) {
        if let deadline { self.deadline = deadline + time }
    }

    /// - Throws: ``GitError/timedOut(step:)`` or ``Cancellation/Cancelled`` if git must end now.
    func check(_ step: String) throws {
        try cancellation?.check()
        if let deadline, ContinuousClock.now >= deadline { throw GitError.timedOut(step: step) }
    }
}

/// How a run of git ended.
package struct GitEnding: Sendable {
    package let status: ChildProcess.Ending
    /// The messages of this run on standard error.
    package let words: GitWords
    private let step: String
    private let isForeign: Bool

    init(_ status: ChildProcess.Ending, _ words: GitWords, of run: GitRun) {
        self.status = status
        self.words = words
        step = run.step
        if case .foreign = run.settings { isForeign = true } else { isForeign = false }
    }

    package var succeeded: Bool { status == .exited(0) }

    /// The reason why git failed: its own message, or else how it ended.
    package var reason: String { words.isEmpty ? "\(status)" : words.text }

    /// The failure of a run that should have succeeded. An operator sees only git's message.
    package var failure: GitError {
        .failed(step: step, reason: isForeign ? reason : "\(status): \(words.text)")
    }

    /// Returns if git succeeded. A non-zero status is an error only if a caller requires success.
    package func require() throws(GitError) {
        if !succeeded { throw failure }
    }
}

/// The standard output of a run of git, with how it ended.
package struct GitOutput: Sendable {
    package let bytes: [UInt8]
    package let ending: GitEnding

    /// The lines of the output; empty lines are left out.
    package var lines: [ArraySlice<UInt8>] { bytes.split(separator: UInt8(ascii: "\n")) }

    /// The lines as text.
    package var text: [String] { lines.map { String(decoding: $0, as: UTF8.self) } }
}

extension GitProgram {
    /// Runs git to its end.
    ///
    /// - Parameter output: called with git's standard output as it arrives.
    /// - Throws: ``GitError``, ``Cancellation/Cancelled``, ``SystemError``, and the errors of
    ///   `output`; git and all its children have ended then.
    package func run(
        _ run: GitRun, in workspace: borrowing Workspace,
        output: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> GitEnding {
        try run.limits.check(run.step)
        return try GitProcess(run, of: self, in: workspace).finish(output)
    }

    /// Runs git to its end, line by line.
    ///
    /// - Parameter line: called with each line of git's standard output, without the newline.
    /// - Throws: as ``run(_:in:output:)``.
    package func lines(
        _ run: GitRun, in workspace: borrowing Workspace, line: (ArraySlice<UInt8>) throws -> Void
    ) throws -> GitEnding {
        var rest: [UInt8] = []
        let ending = try self.run(run, in: workspace) { chunk in
            var start = 0
            for end in chunk.indices where chunk[end] == UInt8(ascii: "\n") {
                rest += chunk[start..<end]
                try line(rest[...])
                rest.removeAll(keepingCapacity: true)
                start = end + 1
            }
            rest += chunk[start...]
        }
        if !rest.isEmpty { try line(rest[...]) }
        return ending
    }

    /// Runs git to its end and collects its standard output.
    ///
    /// - Parameter limit: the maximum number of bytes; more are an EFBIG. The refs of a repository are
    ///   the largest output.
    /// - Throws: as ``run(_:in:output:)``.
    package func output(
        _ run: GitRun, in workspace: borrowing Workspace, limit: Int = 1 << 30
    ) throws -> GitOutput {
        var bytes: [UInt8] = []
        let ending = try self.run(run, in: workspace) { chunk in
            bytes.append(contentsOf: chunk)
            if bytes.count > limit { throw SystemError("read", "git's output", code: EFBIG) }
        }
        return GitOutput(bytes: bytes, ending: ending)
    }
}
