import GitProtocol

/// What receive-pack writes: its report, withheld, and with side-band its progress.
struct ReceivePackOutput {
    private let sideBand: PushReporting.SideBand
    private var splitter = BandSplitter()
    private var reportBytes: [UInt8] = []
    private var fatal: [UInt8] = []

    /// Bytes; a report has a line for each ref.
    private static let maximumReport = 128 << 20

    init(sideBand: PushReporting.SideBand) {
        self.sideBand = sideBand
    }

    /// Takes the next bytes of git's output.
    mutating func take(
        _ bytes: UnsafeRawBufferPointer, progress: (ArraySlice<UInt8>) throws -> Void
    ) throws {
        switch sideBand {
        case .none:
            reportBytes.append(contentsOf: bytes)
        case .sideBand64k:
            var report: [UInt8] = []
            var fatal: [UInt8] = []
            try splitter.split(bytes) { band, payload in
                switch band {
                case .data: report += payload
                case .progress: try progress(payload)
                case .error: fatal += payload
                }
            }
            reportBytes += report
            self.fatal += fatal
        }
        if reportBytes.count > Self.maximumReport {
            throw ProtocolError.badReport("it is too long")
        }
    }

    /// The report, git having ended.
    func report() throws -> PushReport {
        if !fatal.isEmpty {
            throw RepositoryError.git(
                step: "receive a push", reason: String(decoding: fatal, as: UTF8.self))
        }
        if sideBand == .sideBand64k, !splitter.hasEnded {
            throw ProtocolError.badReport("its side-band stream has no end")
        }
        return try PushReport(parsing: reportBytes)
    }
}
