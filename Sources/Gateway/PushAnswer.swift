import GitProtocol
import Posix
import Push

/// The answer to a push. git's report is written last and once. Before that, progress on band 2 and,
/// if the push takes long, keep-alives may be sent, so that no proxy ends the connection.
///
/// The 200 begins early only after the request's body has arrived and a keep-alive is due.
final class PushAnswer: @unchecked Sendable {
    // Everything below is used with the monitor's lock held, even during writes: two threads write one
    // answer.
    private let monitor = Monitor()
    private let response: Response
    private let reporting: PushReporting
    /// The client's commands, for the order of the report's lines.
    private let commands: CommandList
    /// Progress that is kept until the answer begins.
    private var pending: [UInt8] = []
    private var isDone = false
    /// Whether the end was written, or was attempted: a second one could contradict it.
    private var isFinished = false
    private var failure: RequestError?

    private let interval: Duration
    private var thread: Thread?

    static let type = "application/x-git-receive-pack-result"

    /// The largest kept progress, in bytes; more than anyone reads.
    private static let maximumPending = 1 << 20

    init(
        _ response: Response, reporting: PushReporting, keepAlive: Duration,
        commands: CommandList = CommandList()
    ) {
        self.response = response
        self.reporting = reporting
        self.commands = commands
        interval = keepAlive
    }

    /// Starts to keep the connection alive, after the request's body has arrived.
    func arm() {
        guard reporting.sideBand == .sideBand64k, interval > .zero else { return }
        monitor.locked {
            guard thread == nil, !isDone else { return }
            // Without a thread the push continues without keep-alives.
            thread = try? Thread { [self] in keepAlive() }
        }
    }

    private func keepAlive() {
        monitor.locked {
            while !isDone, failure == nil {
                if monitor.wait(atMost: interval, until: { isDone }) { return }
                do throws(RequestError) {
                    if !response.hasBegun { try response.begin(type: Self.type) }
                    var packet: [UInt8] = []
                    if pending.isEmpty { PktLine.append([], on: .progress, to: &packet) }
                    try response.write(pending + packet)
                    pending = []
                } catch {
                    failure = error
                }
            }
        }
    }

    /// Relays band 2 of git's output: at once if the answer has begun.
    func progress(_ bytes: ArraySlice<UInt8>) throws {
        try monitor.locked {
            if let failure { throw failure }
            var packet: [UInt8] = []
            PktLine.append(bytes, on: .progress, to: &packet)
            if response.hasBegun {
                try response.write(packet)
            } else if pending.count < Self.maximumPending {
                pending += packet
            }
        }
    }

    /// Ends the keep-alives. From now on only the caller writes.
    ///
    /// - Returns: whether the 200 has begun.
    func stop() -> Bool {
        monitor.locked {
            isDone = true
            monitor.notify()
        }
        if let thread = take() { thread.join() }
        return response.hasBegun
    }

    private func take() -> Thread? {
        monitor.locked {
            thread.take()
        }
    }

    /// Writes a report, in the order of the client's commands, and ends the answer.
    func finish(_ report: PushReport) throws {
        _ = stop()
        if isFinished { return }
        isFinished = true
        if !response.hasBegun { try response.begin(type: Self.type) }
        if reporting.sideBand == .sideBand64k { try response.write(pending) }
        try response.write(report.arranged(like: commands).body(for: reporting))
    }

    /// Acknowledges a published push: relays git's report, which only such a push releases.
    ///
    /// Nothing else in the gateway writes an `ok`. If the answer cannot be written, the push is
    /// published nevertheless.
    func acknowledge(_ push: consuming PublishedPush) throws {
        try finish(push.release())
    }

    /// Writes the report of a push that published nothing.
    ///
    /// A client that requested no report treats silence as success, so that it gets a refusal as an
    /// error.
    func finish(unpublished report: PushReport) throws {
        guard reporting.report == .unwanted, let reason = report.refusal else {
            return try finish(report)
        }
        guard stop() else { throw RequestError.notAllowed(reason) }
        try response.write(pending)
        try writeFatal(reason)
    }

    /// Reports an error in a 200: as `ng` for every ref or, if no report was requested, as a fatal
    /// error, which is possible only after the 200 has begun, in a side-band stream.
    func finish(failing commands: PushCommands, _ reason: String) throws {
        _ = stop()
        if isFinished { return }
        isFinished = true
        if response.hasBegun {
            try response.write(pending)
        } else {
            // git's messages about a truncated body are dropped.
            try response.begin(type: Self.type)
        }
        switch reporting.report {
        case .wanted:
            let report = PushReport(
                unpackError: nil,
                rejected: commands.commands.map {
                    PushReport.Rejection(rawName: $0.rawName, reason: reason)
                })
            try response.write(report.body(for: reporting))
        case .unwanted: try writeFatal(reason)
        }
    }

    private func writeFatal(_ reason: String) throws(RequestError) {
        var packet: [UInt8] = []
        let text = PrintableText.sentence(reason)
        PktLine.append(Array("\(text)\n".utf8), on: .error, to: &packet)
        try response.write(packet + PktLine.flushBytes)
    }
}
