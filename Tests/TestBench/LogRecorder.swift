package import Logging
import Synchronization

/// Keeps what is logged, line by line.
package final class LogRecorder: Sendable {
    package struct Line: Sendable {
        package let level: Logger.Level
        package let message: String
        package let metadata: [String: String]
    }

    private let kept = Mutex<[Line]>([])

    package init() {}

    package var lines: [Line] { kept.withLock { $0 } }
    package var messages: [String] { lines.map(\.message) }
    /// Without those at lower levels.
    package var infoMessages: [String] { lines.filter { $0.level >= .info }.map(\.message) }

    /// A logger that keeps lines of all levels.
    package var logger: Logger { Logger(label: "test") { _ in Handler(recorder: self) } }

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
