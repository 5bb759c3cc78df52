import Glibc
import Posix
import Synchronization

/// A started git and our ends of its pipes. If it is dropped, git's process group ends.
struct GitProcess: ~Copyable {
    private let run: GitRun
    private let child: ChildProcess
    private let output: OwnedDescriptor
    private let errors: ErrorReader
    /// nil if no stream is fed to git.
    private let feeder: Feeder?

    /// The milliseconds between two checks of the limits and of the client.
    private static let interval: Int32 = 200

    /// Starts git.
    init(
        _ run: GitRun, of git: GitProgram, in workspace: borrowing Workspace
    ) throws(SystemError) {
        let input: OwnedDescriptor
        var feeding: OwnedDescriptor?
        switch run.input {
        case .none:
            input = try .open("/dev/null", O_RDONLY)
        case .bytes(let bytes):
            let path = workspace.path + "/stdin"
            try Files.write(bytes, to: path)
            input = try .open(path, O_RDONLY)
        case .stream:
            let (reading, writing) = try OwnedDescriptor.pipe().release()
            input = OwnedDescriptor(taking: reading)
            feeding = OwnedDescriptor(taking: writing)
        }
        let output = try OwnedDescriptor.pipe()
        let errors = try ErrorReader(run.errors, in: workspace)
        let child = try ChildProcess(
            git.launch(
                run, in: workspace, input: input.raw, output: output.second.raw,
                error: errors.gitsEnd))
        errors.closeGitsEnd()
        if run.priority != .normal {
            setpriority(
                __priority_which_t(PRIO_PGRP.rawValue), id_t(child.identifier),
                run.priority.rawValue)
        }
        var feeder: Feeder?
        if case .stream(let body, let preamble) = run.input, let feeding = feeding.take() {
            feeder = try Feeder(body, after: preamble, to: feeding, counting: workspace.fed)
        }
        self.run = run
        self.child = child
        self.feeder = feeder
        self.output = output.keepingFirst()
        self.errors = errors
    }

    /// Runs git to its end.
    ///
    /// - Parameter take: called with git's standard output as it arrives.
    consuming func finish(_ take: (UnsafeRawBufferPointer) throws -> Void) throws -> GitEnding {
        do {
            var limits = run.limits
            try relay(to: take, within: &limits)
            try awaitEnd(within: limits)
        } catch {
            child.signalGroup(SIGKILL)
            feeder?.abort()
            throw error
        }
        let (run, errors, feeder) = (run, errors, feeder)
        let status: ChildProcess.Ending
        do {
            status = try child.wait()
        } catch {
            feeder?.abort()
            throw error
        }
        try feeder?.finish()
        return GitEnding(status, try errors.words(), of: run)
    }

    /// Passes on git's output until git has closed its pipes.
    ///
    /// The time that `take` spends waiting for the client does not count.
    private func relay(
        to take: (UnsafeRawBufferPointer) throws -> Void, within limits: inout GitLimits
    ) throws {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var open = (output: output.raw, errors: errors.pipe)
        // A negative descriptor is ignored. poll(2).
        while open.output >= 0 || open.errors >= 0 {
            var polled = [open.output, open.errors].map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            polled.append(hangup)
            try check("poll") { poll(&polled, nfds_t(polled.count), Self.interval) }
            try enforce(limits, polled[2])
            if polled[0].revents != 0 {
                let count = try Self.read(open.output, into: &buffer)
                let start = ContinuousClock.now
                try buffer.withUnsafeBytes {
                    if count > 0 { try take(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
                }
                limits.extend(by: .now - start)
                if count == 0 { open.output = -1 }
            }
            if polled[1].revents != 0 {
                let count = try Self.read(open.errors, into: &buffer)
                errors.take(buffer[..<count])
                if count == 0 { open.errors = -1 }
            }
        }
    }

    /// Waits for git, which usually ends soon after it has closed its pipes.
    private func awaitEnd(within limits: GitLimits) throws {
        if child.hasEnded { return }
        guard let end = child.endDescriptor() else {
            return try awaitEnd(-1, interval: 1, within: limits)
        }
        defer { _ = end }
        try awaitEnd(end.raw, interval: Self.interval, within: limits)
    }

    /// - Parameters:
    ///   - descriptor: becomes readable at the end of git; negative if there is none.
    ///   - interval: the milliseconds between two checks.
    private func awaitEnd(
        _ descriptor: Int32, interval: Int32, within limits: GitLimits
    ) throws {
        while !child.hasEnded {
            var polled = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), hangup]
            try check("poll") { poll(&polled, nfds_t(polled.count), interval) }
            try enforce(limits, polled[1])
        }
    }

    /// The poll for a client that disconnects. While the body arrives, its reader notices that.
    private var hangup: pollfd {
        let descriptor = feeder.flatMap { $0.isRunning ? nil : $0.body.hangupDescriptor }
        return pollfd(fd: descriptor ?? -1, events: PollEvents.hangup, revents: 0)
    }

    /// Time in which the client's body was awaited does not count.
    private func enforce(_ limits: GitLimits, _ hangup: pollfd) throws {
        if hangup.revents != 0 { throw GitError.clientGone }
        var limits = limits
        if let waited = feeder?.waited { limits.extend(by: waited) }
        try limits.check(run.step)
    }

    private static func read(
        _ descriptor: Int32, into buffer: inout [UInt8]
    ) throws(SystemError) -> Int {
        try buffer.withMutableBytes { (bytes) throws(SystemError) in
            try readSome(descriptor, into: bytes)
        }
    }
}

/// The thread that feeds a stream to git.
private final class Feeder {
    let body: any ByteStream
    private let state: State
    private let thread = ThreadGroup()

    /// How feeding ended.
    private enum Feed {
        case running
        case ended
        case failed(any Error)
    }

    /// Shared by the two threads.
    private final class State: Sendable {
        let feed = Mutex(Feed.running)
        private let wait = Mutex((total: Duration.zero, since: ContinuousClock.Instant?.none))

        /// The time spent waiting for the stream so far.
        var waited: Duration {
            wait.withLock { $0.total + ($0.since.map { .now - $0 } ?? .zero) }
        }

        /// Runs `read`, which waits for the stream.
        func waiting(_ read: () throws -> Int) rethrows -> Int {
            wait.withLock { $0.since = .now }
            defer {
                wait.withLock { wait in
                    if let since = wait.since { wait.total += .now - since }
                    wait.since = nil
                }
            }
            return try read()
        }
    }

    init(
        _ body: any ByteStream, after preamble: [UInt8], to writing: consuming OwnedDescriptor,
        counting fed: ByteCounter
    ) throws(SystemError) {
        self.body = body
        let state = State()
        self.state = state
        let raw = writing.release()
        do {
            try thread.start {
                let feed = Self.feed(
                    preamble, body, to: OwnedDescriptor(taking: raw), counting: fed, state)
                state.feed.withLock { $0 = feed }
            }
        } catch {
            close(raw)
            throw error
        }
    }

    /// The time spent waiting for the stream so far.
    var waited: Duration { state.waited }

    var isRunning: Bool {
        state.feed.withLock { if case .running = $0 { true } else { false } }
    }

    /// Stops feeding, after git was killed.
    func abort() {
        body.cancel()
        thread.join()
    }

    /// Waits for the end of the stream.
    ///
    /// - Throws: ``GitError/badBody(_:)`` if it did not end properly.
    func finish() throws(GitError) {
        thread.join()
        if case .failed(let error) = state.feed.withLock({ $0 }) { throw .badBody(error) }
    }

    /// Feeds git until the body ends. If git stops reading earlier, the rest is read and dropped,
    /// because a client that is still sending would not see the answer otherwise.
    private static func feed(
        _ preamble: [UInt8], _ body: any ByteStream, to writing: consuming OwnedDescriptor,
        counting fed: ByteCounter, _ state: State
    ) -> sending Feed {
        var isRead = preamble.withUnsafeBytes { write($0, to: writing) }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        do {
            while true {
                let count = try buffer.withUnsafeMutableBytes { bytes in
                    try state.waiting { try body.read(into: bytes) }
                }
                if count == 0 { return .ended }
                if isRead {
                    isRead = buffer.withUnsafeBytes {
                        write(UnsafeRawBufferPointer(rebasing: $0[..<count]), to: writing)
                    }
                    if isRead { fed.add(count) }
                }
            }
        } catch {
            return .failed(error)
        }
    }

    /// - Returns: whether git still reads.
    private static func write(
        _ bytes: UnsafeRawBufferPointer, to writing: borrowing OwnedDescriptor
    ) -> Bool {
        do {
            try writeAll(writing.raw, bytes)
            return true
        } catch {
            return false
        }
    }
}

/// Reads what one run of git writes to standard error.
private final class ErrorReader {
    /// The file, or the pipe's reading end.
    private let reading: OwnedDescriptor
    /// The pipe's writing end.
    private var writing: OwnedDescriptor?
    /// git's standard error, until ``closeGitsEnd()``.
    let gitsEnd: Int32
    private let path: String
    /// The size of the file before the run.
    private let start: Int64
    /// nil if it is a file.
    private var progress: ProgressLines?

    init(_ errors: GitRun.Errors, in workspace: borrowing Workspace) throws(SystemError) {
        path = workspace.path + "/stderr"
        switch errors {
        case .kept:
            let file = try OwnedDescriptor.open(path, O_RDWR | O_CREAT | O_APPEND)
            let raw = file.raw
            start = Int64(try check("lseek", path) { lseek(raw, 0, SEEK_END) })
            gitsEnd = raw
            reading = file
        case .progress(let shown, let title):
            let (ours, gits) = try OwnedDescriptor.pipe().release()
            start = 0
            gitsEnd = gits
            reading = OwnedDescriptor(taking: ours)
            writing = OwnedDescriptor(taking: gits)
            progress = ProgressLines(progress: shown, title: title)
        }
    }

    /// The pipe to read; negative if it is a file.
    var pipe: Int32 { progress == nil ? -1 : reading.raw }

    /// Closes this process's copy of the pipe's writing end, after git has inherited it.
    func closeGitsEnd() { writing = nil }

    func take(_ bytes: ArraySlice<UInt8>) { progress?.take(bytes) }

    /// The messages of this run, after it has ended.
    func words() throws(SystemError) -> GitWords {
        if let words = progress?.finish() { return words }
        let raw = reading.raw
        let path = path
        let end = Int64(try check("lseek", path) { lseek(raw, 0, SEEK_END) })
        let first = max(start, end - Int64(GitWords.limit))
        return GitWords(
            try Files.read(raw, at: first, count: Int(max(0, end - first)), subject: path))
    }
}
