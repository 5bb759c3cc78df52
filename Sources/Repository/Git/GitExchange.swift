import Glibc
package import Posix
import Synchronization

/// One run of git between a request's body and its answer: a second thread feeds the body to git,
/// the caller's thread takes what git says.
package struct GitExchange {
    let git: GitProgram
    /// For the error's text: `receive a push`.
    let step: String
    /// What git is fed before the body.
    let preamble: [UInt8]
    let body: any ByteStream
    /// When git must be done.
    let deadline: ContinuousClock.Instant

    package init(
        git: GitProgram, step: String, preamble: [UInt8], body: any ByteStream,
        deadline: ContinuousClock.Instant
    ) {
        self.git = git
        self.step = step
        self.preamble = preamble
        self.body = body
        self.deadline = deadline
    }

    /// How feeding ended.
    private enum Feed {
        case running
        case ended
        case failed(any Error)
    }

    /// Shared by the two threads.
    private final class Feeder: Sendable {
        let state = Mutex(Feed.running)

        func end(_ feed: consuming sending Feed) {
            let feed = feed
            state.withLock { $0 = feed }
        }

        var isRunning: Bool {
            state.withLock { if case .running = $0 { true } else { false } }
        }
    }

    /// Milliseconds between two looks at the deadline and at whether the body has ended.
    private static let interval: Int32 = 200

    /// Runs git to its end.
    ///
    /// - Parameter output: takes git's standard output as it comes.
    /// - Throws: ``GitError``, and what `output` throws; git and all its children are gone
    ///   then.
    package func run(
        _ arguments: [String], in workspace: borrowing Workspace, for client: GitProgram.Client,
        channel: Int32? = nil, output: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> ChildProcess.Ending {
        let started = try start(arguments, in: workspace, for: client, channel: channel)
        let child = started.child
        let reading = started.reading
        let feeding = started.feeding

        let feeder = Feeder()
        let thread: Thread
        do {
            thread = try Thread { [preamble, body, fed = workspace.fed] in
                feeder.end(
                    Self.feed(preamble, body, to: OwnedDescriptor(taking: feeding), counting: fed))
            }
        } catch {
            close(feeding)
            throw error
        }

        do {
            try relay(from: reading.raw, while: feeder, to: output)
        } catch {
            child.signalGroup(SIGKILL)
            body.cancel()
            thread.join()
            throw error
        }
        let ending: ChildProcess.Ending
        do {
            ending = try child.wait()
        } catch {
            body.cancel()
            thread.join()
            throw error
        }
        thread.join()
        if case .failed(let error) = feeder.state.withLock({ $0 }) {
            throw GitError.badBody(error)
        }
        return ending
    }

    /// A started git, and our ends of its pipes.
    private struct Started: ~Copyable {
        let child: ChildProcess
        let reading: OwnedDescriptor
        /// The feeder's to close.
        let feeding: Int32
    }

    private func start(
        _ arguments: [String], in workspace: borrowing Workspace, for client: GitProgram.Client,
        channel: Int32?
    ) throws(SystemError) -> Started {
        let errors = try workspace.openErrorFile()
        let input = try OwnedDescriptor.pipe()
        let answer = try OwnedDescriptor.pipe()
        let child = try ChildProcess(
            git.launch(
                arguments, in: workspace, for: client, input: input.first.raw,
                output: answer.second.raw, error: errors.raw, channel: channel))
        return Started(
            child: child, reading: answer.keepingFirst(), feeding: input.keepingSecond().release())
    }

    private func relay(
        from reading: Int32, while feeder: Feeder,
        to output: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            var polled = [pollfd(fd: reading, events: Int16(POLLIN), revents: 0)]
            // While the body comes in, its reader notices a client that goes away.
            if let hangup = body.hangupDescriptor, !feeder.isRunning {
                polled.append(pollfd(fd: hangup, events: PollEvents.hangup, revents: 0))
            }
            _ = try check("poll") { poll(&polled, nfds_t(polled.count), Self.interval) }
            if polled.count > 1, polled[1].revents != 0 { throw GitError.clientGone }
            if ContinuousClock.now >= deadline { throw GitError.timedOut(step: step) }
            if polled[0].revents == 0 { continue }

            let count = try buffer.withMutableBytes { (bytes) throws(SystemError) in
                try readSome(reading, into: bytes)
            }
            if count == 0 { return }
            try buffer.withUnsafeBytes {
                try output(UnsafeRawBufferPointer(rebasing: $0[..<count]))
            }
        }
    }

    /// Feeds git until the body ends. Once git has stopped reading, the rest is read and dropped:
    /// a client that is still sending would not see the answer otherwise.
    private static func feed(
        _ preamble: [UInt8], _ body: any ByteStream, to writing: consuming OwnedDescriptor,
        counting fed: ByteCounter
    ) -> sending Feed {
        var isRead = preamble.withUnsafeBytes { write($0, to: writing) }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        do {
            while true {
                let count = try buffer.withUnsafeMutableBytes { try body.read(into: $0) }
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
