import Logging
import Synchronization

/// Keeps what is logged, line by line.
final class LogRecorder: Sendable {
    struct Line: Sendable {
        let level: Logger.Level
        let message: String
        let metadata: [String: String]
    }

    private let kept = Mutex<[Line]>([])

    var lines: [Line] { kept.withLock { $0 } }
    var messages: [String] { lines.map(\.message) }
    /// Without those at lower levels.
    var infoMessages: [String] { lines.filter { $0.level >= .info }.map(\.message) }

    /// A logger that keeps lines of all levels.
    var logger: Logger { Logger(label: "test") { _ in Handler(recorder: self) } }

    private struct Handler: LogHandler {
        let recorder: LogRecorder
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let all = metadata.merging(event.metadata ?? [:]) { $1 }
            recorder.kept.withLock {
                $0.append(
                    Line(
                        level: event.level, message: "\(event.message)",
                        metadata: all.mapValues { "\($0)" }))
            }
        }
    }
}
